"""What DynamoDB reports as consumed is what AWS's rules say: worked out here from sizes that are written down.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

import unittest

from tests.harness import Emulator

TABLE = "units"


def setUpModule():
    global CLOUD
    CLOUD = Emulator()
    CLOUD.call("dynamodb", "CreateTable", TableName=TABLE, BillingMode="PAY_PER_REQUEST",
               AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "lk", "lp")],
               KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
               GlobalSecondaryIndexes=[{
                   "IndexName": "list", "Projection": {"ProjectionType": "ALL"},
                   "KeySchema": [{"AttributeName": "lk", "KeyType": "HASH"}, {"AttributeName": "lp", "KeyType": "RANGE"}]}])


def tearDownModule():
    CLOUD.stop()


def item(sort: str, size: int, position: str | None = None) -> dict:
    """An item of exactly so many bytes: names, keys, and a text that fills the rest."""
    made = {"pk": {"S": "p"}, "sk": {"S": sort}}
    if position is not None:
        made |= {"lk": {"S": "l"}, "lp": {"S": position}}
    used = sum(len(name) + len(value["S"]) for name, value in made.items()) + len("text")
    return made | {"text": {"S": "x" * (size - used)}}


def key(sort: str) -> dict:
    return {"pk": {"S": "p"}, "sk": {"S": sort}}


def units(operation: str, **body):
    told = CLOUD.call("dynamodb", operation, ReturnConsumedCapacity="TOTAL", **body)["ConsumedCapacity"]
    return sum(part["CapacityUnits"] for part in (told if isinstance(told, list) else [told]))


def put(made: dict) -> float:
    return units("PutItem", TableName=TABLE, Item=made)


def transact(*writes: dict) -> float:
    return units("TransactWriteItems", TransactItems=[
        {kind: {"TableName": TABLE, **write}} for each in writes for kind, write in each.items()])


class Capacity(unittest.TestCase):
    def test_a_write_costs_a_unit_for_each_started_kib(self):
        self.assertEqual([put(item("w", size)) for size in (1024, 1025, 2048)], [1, 2, 2])
        self.assertEqual(put(item("w", 100)), 2, "the larger of before and after counts")
        self.assertEqual(units("DeleteItem", TableName=TABLE, Key=key("w")), 1)
        self.assertEqual(units("DeleteItem", TableName=TABLE, Key=key("w")), 1, "also of what is not there")

    def test_an_update_costs_its_whole_item(self):
        put(item("u", 3000))
        self.assertEqual(units("UpdateItem", TableName=TABLE, Key=key("u"), UpdateExpression="SET n = :n",
                               ExpressionAttributeValues={":n": {"N": "1"}}), 3)

    def test_a_list_is_written_besides_and_twice_when_an_item_moves_in_it(self):
        self.assertEqual(put(item("l", 1000, "1")), 2)
        self.assertEqual(put(item("l", 1000, "1")), 1, "nothing of it changed")
        self.assertEqual(put(item("l", 999, "1")), 2)
        self.assertEqual(put(item("l", 1000, "2")), 3)
        self.assertEqual(put(item("l", 1000)), 2, "it left the list")

    def test_a_transaction_costs_twice_and_its_checks_too(self):
        put(item("checked", 1500))
        absent = "attribute_not_exists(pk)"
        self.assertEqual(transact({"Put": {"Item": item("t", 1024), "ConditionExpression": absent}}), 2)
        self.assertEqual(transact({"Put": {"Item": item("t", 1025)}},
                                  {"ConditionCheck": {"Key": key("checked"), "ConditionExpression": "attribute_exists(pk)"}},
                                  {"Delete": {"Key": key("nothing")}}), 4 + 4 + 2)
        self.assertEqual(transact({"Put": {"Item": item("tl", 1000, "1")}}), 3, "its list is written once")

    def test_a_read_costs_a_unit_for_each_started_4_kib_and_half_when_it_may_be_stale(self):
        put(item("small", 4096))
        put(item("large", 4097))

        def get(sort, **more):
            return units("GetItem", TableName=TABLE, Key=key(sort), **more)

        self.assertEqual([get(sort, ConsistentRead=True) for sort in ("small", "large", "none")], [1, 2, 1])
        self.assertEqual([get(sort) for sort in ("small", "large", "none")], [0.5, 1, 0.5])
        part = {"ProjectionExpression": "pk", "ConsistentRead": True}
        self.assertEqual(get("large", **part), 2, "the whole item is read for a part of it")

    def test_items_of_a_batch_are_rounded_each_by_itself(self):
        put(item("b1", 1500))
        put(item("b2", 6500))
        keys = [key("b1"), key("b2"), key("none")]
        batch = {TABLE: {"Keys": keys, "ConsistentRead": True}}
        self.assertEqual(units("BatchGetItem", RequestItems=batch), 1 + 2 + 1)
        self.assertEqual(units("BatchGetItem", RequestItems={TABLE: {"Keys": keys}}), 2)
        silent = CLOUD.call("dynamodb", "BatchGetItem", RequestItems=batch)
        self.assertNotIn("ConsumedCapacity", silent)

    def test_a_page_is_rounded_as_a_whole(self):
        for number in range(5):
            put({**item(f"q{number}", 1500), "pk": {"S": "query"}})
        values = {":p": {"S": "query"}}
        page = {"TableName": TABLE, "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": values}
        # Five items of 1,504 bytes: their key is four bytes longer.
        self.assertEqual(units("Query", ConsistentRead=True, **page), 2)
        self.assertEqual(units("Query", **page), 1)
        values[":p"] = {"S": "nobody"}
        self.assertEqual(units("Query", ConsistentRead=True, **page), 1)

    def test_a_list_is_read_at_the_size_of_its_entries(self):
        for number in range(3):
            put({**item(f"i{number}", 3000, str(number)), "lk": {"S": "i"}})
        read = units("Query", TableName=TABLE, IndexName="list", KeyConditionExpression="lk = :l",
                     ExpressionAttributeValues={":l": {"S": "i"}})
        self.assertEqual(read, 1.5)


if __name__ == "__main__":
    unittest.main()
