"""What schemathesis has to know about coffer that no JSON Schema can say. Loaded by SCHEMATHESIS_HOOKS."""

import base64
import binascii
import re

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

# Refusals for what the store holds at the moment, with statuses that setec gives them, or that it calls 500.
STATE = {"version_taken", "active_version", "versions_exhausted"}

NKEY = re.compile("[A-OQRT-Z][A-Z2-7]{55}")

GO_FIELDS = ("name", "version", "value", "updateifchanged")


@schemathesis.check
def accepted_unless_state_forbids(ctx, response, case):
    """positive_data_acceptance, which knows no such refusals but 409, that a query as a whole has an end, and checksums."""
    if response.status_code == 431 or b"the checksum of this key does not match" in response.content:
        return None
    if STATE.intersection(response.headers.get("coffer-error", [])):
        return None
    return positive_data_acceptance(ctx, response, case)


@schemathesis.hook
def map_body(context, body):
    """
    To JSON Schema 1.0 is an integer; to Go it is none. No key file is made but where there is no folder. What has the form
    of a public key gets its checksum.
    """
    if isinstance(body, dict) and NKEY.fullmatch(str(body.get("key"))):
        body = {**body, "key": account_key(body["key"])}
    if isinstance(body, dict) and isinstance(body.get("to"), str):
        body = {**body, "to": body["to"].replace("file:/", "file:/nonexistent/", 1)}
    return integers(body)


@schemathesis.hook
def filter_case(context, case):
    """Nobody waits for an answer without an end; and of two parameters that exclude each other no document can tell."""
    query = case.query or {}
    if str(query.get("follow")) == "1" or {"from", "last"} <= query.keys():
        return False
    return "instance" not in query or not {"from", "last", "follow"} & query.keys()


@schemathesis.hook
def filter_body(context, body):
    """Of two spellings of a field the last one wins, and members of an object have no order in JSON Schema."""
    if not isinstance(body, dict):
        return True
    spellings = [key.casefold() for key in body]
    return all(spellings.count(field) < 2 for field in GO_FIELDS)


def account_key(text):
    """The nkey of an account with these bytes: 0 ‖ 32 bytes ‖ CRC-16/XMODEM, little-endian."""
    body = bytes([0]) + base64.b32decode(text)[1:33]
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode()


def integers(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [integers(item) for item in value]
    if isinstance(value, dict):
        return {key: integers(item) for key, item in value.items()}
    return value
