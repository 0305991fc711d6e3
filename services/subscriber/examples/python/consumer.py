"""A consumer of sallyport.events.

    pip install -r requirements.txt
    KAFKA_BROKERS=localhost:9092 SCHEMA_REGISTRY_URL=http://localhost:8081 python consumer.py
"""

import base64
import io
import json
import os
import signal
import struct
import urllib.error
import urllib.request

from confluent_kafka import Consumer, KafkaException
from fastavro import parse_schema, schemaless_reader

BROKERS = os.environ.get("KAFKA_BROKERS", "localhost:9092")
REGISTRY = os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081").rstrip("/")
GROUP = os.environ.get("GROUP", "example")
TOPIC = os.environ.get("TOPIC", "sallyport.events")
POISON_FILE = os.environ.get("POISON_FILE", "poison.jsonl")


class Poison(Exception):
    """The record cannot be decoded, however often it is tried."""


schemas = {}


def schema_of(schema_id):
    """The writer's schema. An outage of the registry is no Poison: it ends the program, and nothing is committed."""
    if schema_id not in schemas:
        try:
            with urllib.request.urlopen(f"{REGISTRY}/schemas/ids/{schema_id}", timeout=5) as response:
                schemas[schema_id] = parse_schema(json.loads(json.load(response)["schema"]))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise Poison(f"the registry has no schema {schema_id}") from error
            raise
    return schemas[schema_id]


def decode(record):
    """Confluent wire format: byte 0 is 0, bytes 1-4 the schema id, then the Avro datum."""
    value = record.value()
    if value is None or len(value) < 6 or value[0] != 0:
        raise Poison("the value is not in the wire format")
    schema = schema_of(struct.unpack(">I", value[1:5])[0])
    try:
        return schemaless_reader(io.BytesIO(value[5:]), schema)
    except Exception as error:
        raise Poison(f"the value does not fit its schema: {error}") from error


# What took effect lately; a real consumer keeps the key beside its effect, in one database transaction.
seen = set()


def handle(event, headers):
    idempotency_key = headers.get("ce_id")
    if not idempotency_key:
        raise Poison("the record has no ce_id header")
    if idempotency_key in seen:
        return
    seen.add(idempotency_key)
    fields = {name: headers.get(f"ce_{name}") for name in ("source", "type")}
    # A body is whatever its sender signed, which need not be UTF-8.
    body = event["body"].decode(errors="replace")
    print(json.dumps({"id": event["id"], **fields, "body": body, "traceparent": headers.get("traceparent")}), flush=True)


def keep_poison(record, reason):
    place = {"topic": record.topic(), "partition": record.partition(), "offset": record.offset()}
    value = base64.b64encode(record.value() or b"").decode()
    with open(POISON_FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps({**place, "reason": str(reason), "value": value}) + "\n")


def main():
    running = True

    def stop(_signal, _frame):
        nonlocal running
        running = False

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": BROKERS,
            "group.id": GROUP,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([TOPIC])
    try:
        while running:
            record = consumer.poll(0.5)
            if record is None:
                continue
            if record.error():
                raise KafkaException(record.error())
            try:
                headers = {name: value.decode(errors="replace") for name, value in record.headers() or [] if value is not None}
                handle(decode(record), headers)
            except Poison as reason:
                keep_poison(record, reason)
            # Only after the handler: what it could not handle comes again.
            consumer.commit(record, asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
