"""DynamoDB's bill: the units of reads, by size. Those of writes, transactions and indexes are ministack's own and right,
which `tests/test_capacity.py` holds.

A query is measured by the items it returns; one that filters or projects reads more than that, and none of ours does.
"""

import json

from ministack.core.responses import json_response
from ministack.services import dynamodb

from cauce_emulator.patching import original, replaces

BLOCK = 4096
"""What one read unit reads, consistently; eventually it is half a unit."""


def blocks(size: int) -> int:
    """Started blocks; what is not there costs one as well."""
    return max(1, -(-size // BLOCK))


def size_of(table_name: str, key: dict) -> int:
    """The size of an item, whatever part of it was asked for."""
    item = dynamodb._get_item_by_key(dynamodb._tables[table_name], key)
    return dynamodb._item_size_bytes(item or {})


def scaled(told: dict, factor: int) -> dict:
    """All numbers of a ConsumedCapacity, so many times."""
    return {name: scaled(value, factor) if isinstance(value, dict) else
            value * factor if name.endswith("CapacityUnits") else value for name, value in told.items()}


@replaces("services.dynamodb", "_add_consumed_capacity", "e8b57ddae96f70fb",
          "Reports every GetItem and Query as a read of at most 4 KiB. AWS rounds the size of what was read up to 4 KiB.",
          "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html")
def add_consumed_capacity(result, data, table_name, write=False, old_item=None, new_item=None, index_name=None):
    original("services.dynamodb._add_consumed_capacity")(result, data, table_name, write, old_item, new_item, index_name)
    if write or "ConsumedCapacity" not in result:
        return
    items = result.get("Items")
    size = size_of(table_name, data["Key"]) if items is None else sum(map(dynamodb._item_size_bytes, items))
    result["ConsumedCapacity"] = scaled(result["ConsumedCapacity"], blocks(size))


@replaces("services.dynamodb", "_batch_get_item", "d6d516ae8785bf7c",
          "Reports no capacity at all. AWS bills each item of a batch as a GetItem of its own.",
          "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html")
def batch_get_item(data):
    answer = original("services.dynamodb._batch_get_item")(data)
    if answer[0] != 200 or data.get("ReturnConsumedCapacity", "NONE") == "NONE":
        return answer
    told = json.loads(answer[2])
    told["ConsumedCapacity"] = []
    for name, asked in data["RequestItems"].items():
        table = dynamodb._normalize_table_name(name)
        unit = 1.0 if asked.get("ConsistentRead") else 0.5
        units = unit * sum(blocks(size_of(table, key)) for key in asked["Keys"])
        told["ConsumedCapacity"].append({"TableName": table, "CapacityUnits": units})
    return json_response(told)
