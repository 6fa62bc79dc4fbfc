"""A JSON value held against a JSON Schema: the words that ``bert_mpq.ui.documents`` uses, and no others."""

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
WORDS = {"$schema", "$defs", "$ref", "title", "type", "properties", "required", "additionalProperties"}
WORDS |= {"items", "minItems", "maxItems", "anyOf", "enum", "const"}


def problems(value, schema, definitions=None, where="$"):
    """What is wrong with ``value``, one line each."""
    definitions = definitions or schema.get("$defs", {})
    assert set(schema) <= WORDS, f"unknown words {set(schema) - WORDS}"
    if "$ref" in schema:
        return problems(value, definitions[schema["$ref"].removeprefix("#/$defs/")], definitions, where)
    if "const" in schema:
        return [] if value == schema["const"] else [f"{where} is {value!r}, not {schema['const']!r}"]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where} is {value!r}, none of {schema['enum']}"]
    if "anyOf" in schema:
        found = [problems(value, each, definitions, where) for each in schema["anyOf"]]
        return [] if [] in found else [line for lines in found for line in lines]
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    fitting = [name for name in names if isinstance(value, TYPES[name])]
    if not fitting or (isinstance(value, bool) and "boolean" not in names):
        return [f"{where} is {value!r}, no {names}"]
    return [*_inside(value, schema, definitions, where)]


def _inside(value, schema, definitions, where):
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} items"
        for index, item in enumerate(value):
            yield from problems(item, schema["items"], definitions, f"{where}[{index}]")
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        others = schema["additionalProperties"]
        for name, item in value.items():
            if name in known or others:
                yield from problems(item, known.get(name, others), definitions, f"{where}.{name}")
            else:
                yield f"{where}.{name} is unknown"
