"""Reads a Delta table with delta-rs: a request as JSON on stdin, {table, version, queries}; the answer on stdout."""

import json
import sys

from deltalake import DeltaTable, QueryBuilder


def rows(result):
    columns = [[value.as_py() for value in result.column(index)] for index in range(result.num_columns)]
    return [list(row) for row in zip(*columns)]


def main():
    request = json.load(sys.stdin)
    table = DeltaTable(request["table"], version=request["version"])
    engine = QueryBuilder().register("journal", table)
    protocol = table.protocol()
    answer = {
        "results": [rows(engine.execute(sql).read_all()) for sql in request["queries"]],
        "table": {
            "version": table.version(),
            "readerVersion": protocol.min_reader_version,
            "writerVersion": protocol.min_writer_version,
            "configuration": table.metadata().configuration,
            "files": table.file_uris(),
            "history": table.history(),
        },
    }
    json.dump(answer, sys.stdout)


main()
