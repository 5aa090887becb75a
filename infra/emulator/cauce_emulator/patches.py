"""All replacements: importing this registers them."""

from cauce_emulator import (  # noqa: F401
    alarms,
    branches,
    capacity,
    containers,
    events,
    executions,
    expressions,
    functions,
    images,
    machines,
    runtask,
    schedules,
    tasks,
)
