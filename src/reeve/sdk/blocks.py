"""Blocks: typed documents that are kept on the server, their secrets sealed.

A class of blocks is a block type of 2.20, its fields a schema of that type: clients of 2.20 see both, and the
documents.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from msgspec import Struct

from reeve.decoders import read_type
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.sdk.asking import Question, answer, answer_on_loop, ask
from reeve.sdk.futures import in_event_loop
from reeve.sdk.secret import Secret
from reeve.wire import endpoints, requests
from reeve.wire.responses import BlockSchema, BlockType

if TYPE_CHECKING:
    from msgspec.structs import FieldInfo

_REFERENCE = "#/definitions/{name}"
_WITH_SECRETS = {"include_secrets": "true"}


class Block(Struct, dict=True):
    """A document with the fields that its class says by type hints, kept on the server under a name.

    ::

        class Warehouse(Block):
            url: str
            password: Secret

        Warehouse(url="postgresql://w", password="…").save("main")
        Warehouse.load("main").password.get_secret_value()

    Fields are what msgspec can read from JSON, ``Secret``, and other blocks, which are kept as documents of
    their own. A text given for a ``Secret`` becomes one. ``block_type_name`` and ``block_type_slug`` name the
    type on the server: the class's name, and that in lower case with dashes for all other signs.
    In an event loop ``save`` and ``load`` return what is to be awaited; ``asave`` and ``aload`` always do.
    """

    block_type_name: ClassVar[str] = ""
    block_type_slug: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, hint in _fields(type(self)):
            value = getattr(self, name)
            if isinstance(value, str) and Secret in _members(hint):
                setattr(self, name, Secret(value))

    @property
    def document_id(self) -> UUID | None:
        """The id of the document that the block was saved as or loaded from."""
        found: UUID | None = self.__dict__.get("document_id_")
        return found

    def save(self, name: str, *, overwrite: bool = False) -> UUID:
        """Keep the block under ``name`` (lower-case letters, digits, dashes) and return its document's id.

        Raises ConflictError when another one has the name and ``overwrite`` is not set, InvalidInputError
        for a name that cannot be one and for a field that is not what its hint says.
        """
        question = _save(self, name, overwrite=overwrite)
        return answer_on_loop(question) if in_event_loop() else answer(question)  # type: ignore[return-value]  # as 2.20

    async def asave(self, name: str, *, overwrite: bool = False) -> UUID:
        """Do as ``save``, in an event loop."""
        return await answer_on_loop(_save(self, name, overwrite=overwrite))

    @classmethod
    def load(cls, name: str) -> Self:
        """Return the block of this class that is kept under ``name``.

        Raises NotFoundError, and InvalidInputError when what is kept does not fit the class.
        """
        question = _load(cls, name)
        return answer_on_loop(question) if in_event_loop() else answer(question)  # type: ignore[return-value]  # as 2.20

    @classmethod
    async def aload(cls, name: str) -> Self:
        """Do as ``load``, in an event loop."""
        return await answer_on_loop(_load(cls, name))


def _save(block: Block, name: str | None, *, overwrite: bool = False) -> Question[UUID]:
    """Keep a block under a name; without one as a document that only others refer to."""
    cls = type(block)
    _check(block)
    type_, schema = yield from _register(cls)
    data = yield from _data(block)
    body = requests.BlockDocumentCreate(
        name=name, data=data, block_schema_id=schema.id, block_type_id=type_.id, is_anonymous=name is None
    )
    try:
        made = yield from ask(endpoints.create_block_document, body)
    except ConflictError:
        assert name is not None, "documents without a name have none that is taken"
        known = yield from _named(cls, name, _WITH_SECRETS)
        if overwrite:
            change = requests.BlockDocumentUpdate(
                block_schema_id=schema.id, data=data, merge_existing_data=False
            )
            yield from ask(endpoints.update_block_document, change, id=known.id)
        elif known.data != data:  # else it is ours: the answer to a first request was lost on the way
            message = f"There is a {_type_name(cls)} block {name!r} already; overwrite=True replaces it."
            raise ConflictError(message) from None
        made = known
    _remember(block, made.id)
    return made.id


def _load(cls: type[Any], name: str) -> Question[Any]:
    try:
        found = yield from _named(cls, name, _WITH_SECRETS)
    except NotFoundError:
        message = (
            f"There is no {_type_name(cls)} block {name!r}. "
            f"Save one with: {cls.__name__}(…).save({name!r}). See: reeve blocks ls"
        )
        raise NotFoundError(message) from None
    try:
        read_type(cls)
        block = msgspec.convert(found.data, cls, dec_hook=_decoded)
    except msgspec.ValidationError as error:
        message = f"The {_type_name(cls)} block {name!r} does not fit the class {cls.__name__}: {error}"
        raise InvalidInputError(message, field="data") from None
    _remember(block, found.id)
    for field, reference in found.block_document_references.items():
        inner = getattr(block, field, None)
        if isinstance(inner, Block):
            _remember(inner, UUID(reference["block_document"]["id"]))
    return block


def _named(cls: type[Block], name: str, query: Mapping[str, object]) -> Question[Any]:
    return ask(endpoints.read_block_document_by_name, query=query, slug=_slug(cls), block_document_name=name)


def _register(cls: type[Block]) -> Question[tuple[BlockType, BlockSchema]]:
    """Make the type and the schema of a class known to the server, those of its inner blocks first."""
    references: dict[str, Any] = {}
    for name, hint in _fields(cls):
        for inner in _blocks(hint):
            _, schema = yield from _register(inner)
            references[name] = {
                "block_type_slug": _slug(inner),
                "block_schema_checksum": schema.checksum,
            }
    type_ = yield from _type(cls)
    body = requests.BlockSchemaCreate(
        fields={**block_schema(cls), "block_schema_references": references}, block_type_id=type_.id
    )
    return type_, (yield from ask(endpoints.create_block_schema, body))


def _type(cls: type[Block]) -> Question[BlockType]:
    slug = _slug(cls)
    try:
        return (yield from ask(endpoints.read_block_type_by_slug, slug=slug))
    except NotFoundError:
        pass
    body = requests.BlockTypeCreate(name=_type_name(cls), slug=slug, description=_description(cls))
    try:
        return (yield from ask(endpoints.create_block_type, body))
    except ConflictError as taken:
        try:
            return (yield from ask(endpoints.read_block_type_by_slug, slug=slug))  # made in between
        except NotFoundError:
            raise taken from None


def _data(block: Block) -> Question[dict[str, Any]]:
    """Return the fields as JSON; inner blocks as references, kept first if they are not yet."""
    data: dict[str, Any] = {}
    for name, _ in _fields(type(block)):
        value = getattr(block, name)
        if isinstance(value, Block):
            id_ = value.document_id or (yield from _save(value, None))
            data[name] = {"$ref": {"block_document_id": str(id_)}}
        else:
            data[name] = msgspec.to_builtins(value, enc_hook=_encoded)
    return data


def _check(block: Block) -> None:
    """Raise InvalidInputError for a field that is not what its type hint says: the constructor takes any."""
    for name, hint in _fields(type(block)):
        value = getattr(block, name)
        if isinstance(value, Block):
            continue
        try:
            msgspec.convert(msgspec.to_builtins(value, enc_hook=_encoded), hint, dec_hook=_decoded)
        except (msgspec.ValidationError, NotImplementedError) as error:
            message = f"{type(block).__name__}: the field '{name}' does not fit its hint: {error}"
            raise InvalidInputError(message, field=name) from None


def _remember(block: Block, document_id: UUID) -> None:
    block.__dict__["document_id_"] = document_id


# Schemas


def block_schema(cls: type[Block]) -> dict[str, Any]:
    """Return the fields of a class as 2.20 describes a block's: JSON Schema, and which of them are secret."""
    fields = msgspec.structs.fields(cls)
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for field in fields:
        shown, used = _field_schema(field.type)
        title = {"title": field.name.replace("_", " ").title()}
        properties[field.name] = {**title, **_referred(shown), **_default(field)}
        definitions.update(used)
    schema: dict[str, Any] = {
        "title": _type_name(cls),
        "type": "object",
        "properties": properties,
        "block_type_slug": _slug(cls),
        "secret_fields": sorted(secret_paths(cls)),
        "block_schema_references": {},
    }
    if required := [field.name for field in fields if field.required]:
        schema["required"] = required
    if description := _description(cls):
        schema["description"] = description
    if definitions:
        schema["definitions"] = definitions
    return schema


def _field_schema(hint: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a field's schema and what it refers to; what JSON Schema has no words for takes anything."""
    if inner := _blocks(hint):
        shown = [{"$ref": _REFERENCE.format(name=one.__name__)} for one in inner]
        if NoneType in _members(hint):
            shown.append({"type": "null"})
        described = {one.__name__: block_schema(one) for one in inner}
        return (shown[0] if len(shown) == 1 else {"anyOf": shown}), described
    try:
        (schema,), used = msgspec.json.schema_components([hint], schema_hook=_schema, ref_template=_REFERENCE)
    except (TypeError, NotImplementedError):
        return {}, {}
    return schema, used


def _default(field: FieldInfo) -> dict[str, Any]:
    if field.default in (msgspec.NODEFAULT, None) or isinstance(field.default, Secret):
        return {}
    return {"default": msgspec.to_builtins(field.default, enc_hook=_encoded)}


def secret_paths(type_: type) -> Iterator[str]:
    """Give the dotted paths of the secrets in a class; ``*`` stands for all below (api-contract §5)."""
    for name, hint in _fields(type_):
        yield from _secret_paths(name, hint)


def _secret_paths(path: str, hint: Any) -> Iterator[str]:
    for member in _members(hint):
        origin, inner = get_origin(member), get_args(member)
        if member is Secret:
            yield path
        elif origin is None:
            if _has_fields(member):
                yield from (f"{path}.{below}" for below in secret_paths(member))
        elif any(True for one in inner for _ in _secret_paths("", one)):
            # Of a mapping each value is hidden, of a list the whole.
            yield f"{path}.*" if isinstance(origin, type) and issubclass(origin, Mapping) else path


def _fields(cls: type) -> list[tuple[str, Any]]:
    """Return the names and the types of a class's fields."""
    if issubclass(cls, Struct):
        return [(one.name, one.type) for one in msgspec.structs.fields(cls)]
    hints = get_type_hints(cls, include_extras=True)
    return [(name, hints[name]) for name in getattr(cls, "__dataclass_fields__", {})]


def _has_fields(hint: Any) -> bool:
    return isinstance(hint, type) and (issubclass(hint, Struct) or hasattr(hint, "__dataclass_fields__"))


def _blocks(hint: Any) -> list[type[Block]]:
    return [one for one in _members(hint) if isinstance(one, type) and issubclass(one, Block)]


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, through ``Annotated``; any other type is its only one."""
    if hasattr(hint, "__metadata__"):
        return _members(hint.__origin__)
    if get_origin(hint) in {Union, UnionType}:
        return tuple(member for one in get_args(hint) for member in _members(one))
    return (hint,)


def _type_name(cls: type[Block]) -> str:
    return cls.block_type_name or cls.__name__


def _slug(cls: type[Block]) -> str:
    return cls.block_type_slug or re.sub(r"[^a-z0-9]+", "-", _type_name(cls).lower()).strip("-")


def _description(cls: type[Block]) -> str | None:
    own: str | None = vars(cls).get("__doc__")
    return cleandoc(own) if own else None


def _schema(type_: type) -> dict[str, Any]:
    if issubclass(type_, Secret):
        return {"type": "string", "writeOnly": True, "format": "password"}
    if issubclass(type_, os.PathLike):
        return {"type": "string", "format": "path"}
    raise NotImplementedError


def _referred(schema: dict[str, Any]) -> dict[str, Any]:
    """Wrap a bare reference: beside ``$ref`` readers of older JSON Schema drafts ignore all other keys."""
    return {"allOf": [schema]} if "$ref" in schema else schema


def _encoded(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.get_secret_value()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise NotImplementedError(f"{type(value).__name__} is nothing that JSON has words for.")


def _decoded(wanted: type, value: Any) -> Any:
    if isinstance(value, str) and (wanted is Secret or issubclass(wanted, os.PathLike)):
        return wanted(value)  # type: ignore[call-arg]  # the protocol of paths says nothing of its constructor
    raise msgspec.ValidationError(f"Expected `{wanted.__name__}`, got `{type(value).__name__}`")
