"""Blocks of a 2.20 client: nested, with secrets, of every kind; found again by checksums of its own."""

from __future__ import annotations

from tests.interop.guests import GuestHouse


def test_nested_blocks_and_their_secrets(house: GuestHouse) -> None:
    house.run_program("nested_blocks.py")

    shown = house.told("GET", "/block_types/slug/outer/block_documents/name/referring")
    assert shown["data"] == {"inner": {"key": "********", "plain": 1.0}, "token": "********"}
    assert shown["block_document_references"]["inner"]["block_document"]["name"] == "inner"
    shown_id = shown["id"].encode()
    clear = house.told("GET", f"/block_documents/{shown['id']}?include_secrets=true")
    assert clear["data"] == {"inner": {"key": "canary-inner", "plain": 1.0}, "token": "canary-changed"}

    # Behind the key is SQLite, whose files lie in the house; a document's id proves that they were searched.
    files = [file for folder in (house.root, house.home) for file in folder.glob("*") if file.is_file()]
    found = {word: [file for file in files if word in file.read_bytes()] for word in (b"canary", shown_id)}
    assert found[b"canary"] == []
    assert bool(found[shown_id]) is not house.open_door
