"""Checks Documentation/openapi.yaml: that it is valid, that its operations are the server's, and that real requests and answers match its schemas.

Usage: check-openapi.py openapi.yaml < exchanges.json > /dev/null

Standard input is {"operations": [{id, method, path, access, query}], "exchanges": [{id, status, type, request?, answer?}],
"requests": {schema name: [field names]}}. Every disagreement is one line on standard error, and the exit status is 1.
"""

import json
import sys

import jsonschema
import yaml

problems = []
document = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
given = json.load(sys.stdin)

try:
    import openapi_spec_validator

    for error in openapi_spec_validator.OpenAPIV31SpecValidator(document).iter_errors():
        problems.append(f"the document is no OpenAPI 3.1: {error.message}")
except ImportError:
    print("openapi-spec-validator is not installed: only the schemas are checked", file=sys.stderr)
for name, schema in document["components"]["schemas"].items():
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        problems.append(f"schema {name}: {error.message}")

documented = {}
for path, item in document["paths"].items():
    for method in ("get", "put", "post", "delete", "patch", "head", "options"):
        if method in item:
            documented[item[method]["operationId"]] = (method.upper(), path, item[method], item.get("parameters", []))
served = {operation["id"]: operation for operation in given["operations"]}
for name in sorted(set(documented) ^ set(served)):
    problems.append(f"operation {name} is only {'documented' if name in documented else 'served'}")
for name in sorted(set(documented) & set(served)):
    method, path, operation, shared = documented[name]
    real = served[name]
    query = sorted(p["name"] for p in operation.get("parameters", []) if p["in"] == "query")
    for what, said, is_ in [
        ("method", method, real["method"]),
        ("path", path, real["path"]),
        ("x-weft-access", operation.get("x-weft-access"), real["access"]),
        ("query", query, sorted(real["query"])),
    ]:
        if said != is_:
            problems.append(f"operation {name}: {what} is documented as {said}, and is {is_}")

for name, fields in given["requests"].items():
    schema = document["components"]["schemas"].get(name)
    if schema is None or sorted(schema["properties"]) != sorted(fields):
        problems.append(f"request {name}: documented fields differ from {sorted(fields)}")


def check(schema, value, what):
    root = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": document["components"], **schema}
    for error in jsonschema.Draft202012Validator(root).iter_errors(value):
        problems.append(f"{what}: {'/'.join(map(str, error.absolute_path))}: {error.message}")


for exchange in given["exchanges"]:
    operation = documented.get(exchange["id"], (None, None, {}, None))[2]
    responses = operation.get("responses", {})
    response = responses.get(str(exchange["status"]), responses.get("default", {}))
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    content = response.get("content", {}).get(exchange["type"])
    what = f"operation {exchange['id']}, status {exchange['status']}"
    if content is None:
        problems.append(f"{what}: content type {exchange['type']} is not documented")
    else:
        check(content["schema"], exchange["answer"], what)
    if "request" in exchange:
        check(operation["requestBody"]["content"]["application/json"]["schema"], exchange["request"], f"{what}, request")

for problem in problems:
    print(problem, file=sys.stderr)
sys.exit(1 if problems else 0)
