"""Produces one wiki.edit with confluent-kafka's AvroSerializer, as any Python service would.

    produce.py KAFKA REGISTRY TOPIC SCHEMA_FILE CHANNEL ID FRAMING   (the payload as JSON on stdin)

FRAMING: prefix (0x00 and the id before the body), header-id (0x00 and the id in the header __value_schema_id) or
header-guid (0x01 and the schema's GUID in that header).
"""

import datetime
import json
import pathlib
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
    record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

kafka, registry, topic, schema_file, channel, event_id, framing = sys.argv[1:]
payload = json.load(sys.stdin)
payload["time"] = datetime.datetime.fromisoformat(payload["time"])
headers = [
    ("ce_specversion", b"1.0"),
    ("ce_id", event_id.encode()),
    ("ce_type", b"wiki.edit"),
    ("ce_source", b"/python"),
    ("ce_subject", channel.encode()),
    ("ce_time", b"2026-01-02T03:04:05.678Z"),
    ("content-type", b"application/avro"),
]
by_guid = framing == "header-guid"
serializer = AvroSerializer(
    SchemaRegistryClient({"url": registry}),
    pathlib.Path(schema_file).read_text(),
    conf={
        "subject.name.strategy": record_subject_name_strategy,
        "schema.id.serializer": header_schema_id_serializer if by_guid else prefix_schema_id_serializer,
    },
)
context = SerializationContext(topic, MessageField.VALUE, headers)
value = serializer(payload, context)
headers = context.headers
if framing == "header-id":
    headers = headers + [("__value_schema_id", value[:5])]
    value = value[5:]

producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "partitioner": "murmur2_random"})
failed = []
producer.produce(topic, key=channel, value=value, headers=headers, on_delivery=lambda error, _: error and failed.append(error))
left = producer.flush(30)
if failed or left:
    sys.exit(f"not delivered: {failed}, {left} left")
