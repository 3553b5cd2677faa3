"""Reads what is given on stdin, {"text", "schema"}, and answers {"documents", "faults"}: the documents of the YAML
text, and what they violate of Kubernetes' schemas of a version ("kubernetes 1.29"), strictly, or of a JSON Schema in a file."""

import json
import sys

import jsonschema
import kubernetes_validate
import yaml


def faults_of_kubernetes(documents, version):
    for document in documents:
        name = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}: {'.'.join(map(str, error.path))}: {error.message}"
        except (kubernetes_validate.SchemaNotFoundError, KeyError) as error:
            yield f"{name}: {error}"


def faults_of_schema(documents, path):
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.validators.validator_for(schema)(schema)
    for document in documents:
        for error in validator.iter_errors(document):
            yield f"{error.json_path}: {error.message}"


def read(asked):
    documents = list(yaml.safe_load_all(asked["text"]))
    kind, _, version = asked["schema"].partition(" ")
    faults = faults_of_kubernetes(documents, version) if kind == "kubernetes" else faults_of_schema(documents, kind)
    return {"documents": documents, "faults": list(faults)}


json.dump(read(json.load(sys.stdin)), sys.stdout)
