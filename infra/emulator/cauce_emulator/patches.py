"""All replacements: importing this registers them."""

from cauce_emulator import (  # noqa: F401
    branches,
    containers,
    events,
    executions,
    functions,
    machines,
    runtask,
    schedules,
    tasks,
)
