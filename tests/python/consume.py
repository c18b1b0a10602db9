"""Reads topics to their ends with confluent-kafka's AvroDeserializer and prints one JSON line a record.

    consume.py KAFKA REGISTRY TOPIC...

A record with the header tg_control is no event: it is counted, and not decoded.
"""

import base64
import datetime
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

kafka, registry, *topics = sys.argv[1:]
deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry}))
consumer = Consumer(
    {
        "bootstrap.servers": kafka,
        "group.id": "python",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
)


def plain(value):
    """What JSON has no word for."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(type(value))


partitions = [
    TopicPartition(topic, partition, OFFSET_BEGINNING)
    for topic in topics
    for partition in consumer.list_topics(topic, 30).topics[topic].partitions
]
consumer.assign(partitions)
still_open = len(partitions)
while still_open:
    message = consumer.poll(30)
    if message is None:
        sys.exit("the broker says nothing")
    if message.error():
        if message.error().code() != KafkaError._PARTITION_EOF:
            sys.exit(str(message.error()))
        still_open -= 1
        continue
    headers = dict(message.headers() or [])
    record = {"topic": message.topic(), "key": message.key().decode() if message.key() else None}
    if "tg_control" in headers:
        record["control"] = headers["tg_control"].decode()
    else:
        context = SerializationContext(message.topic(), MessageField.VALUE, message.headers())
        record["value"] = deserialize(message.value(), context)
    print(json.dumps(record, default=plain))
consumer.close()
