"""What of a graph has to be solved, and which records answer for the rest."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from xxpy.build.engine import Job
from xxpy.build.engine.cache import Cache, Record
from xxpy.build.graph import Digest, Graph, SourceOp, reachable
from xxpy.build.plan import Accelerate


def known(cache: Cache, job: Job) -> tuple[dict[Digest, Record], dict[Digest, Digest]]:
    """What records answer, and the key of each."""
    records, keys = {}, {}
    for vertex in job.plan.graph:
        found = None if isinstance(vertex.op, SourceOp) else find(cache, job, vertex.digest)
        if found is not None:
            keys[vertex.digest], records[vertex.digest] = found
    return records, keys


def mend(records: dict[Digest, Record], line: Sequence[Digest], below: int) -> None:
    """Have records for all steps of ``line``, the last first, if there is one for the last: an image has their layers.

    What is lost of them is told by the last one's chain, ``below`` of which are the base image's. Where merges have
    made that another number, all that was made on the lost step is forgotten.
    """
    if not line or line[0] not in records or all(digest in records for digest in line):
        return
    chain = records[line[0]].chain
    for count, digest in enumerate(reversed(line), below + 1):
        if len(chain) == below + len(line):
            records.setdefault(digest, Record(chain[:count], 0.0))
        elif digest not in records:
            for each in line[: line.index(digest)]:
                records.pop(each, None)
            return


def find(cache: Cache, job: Job, vertex: Digest) -> tuple[Digest, Record] | None:
    """The best record that serves for ``vertex``, with its key."""
    if job.runs_anew(vertex):
        return None
    for key in job.keys.among(vertex, twinned=job.accelerate is Accelerate.AUTO):
        record = cache.find(key)
        if record is not None:
            return key, record
    return None


def needed(graph: Graph, records: Container[Digest], roots: Iterable[Digest] | None = None) -> list[Digest]:
    """The vertices that ``roots`` need (the results, if not said) and no record answers, inputs first."""
    wanted = [result.root for result in graph.results] if roots is None else roots
    found = reachable(graph.vertices, wanted, records)
    return [vertex.digest for vertex in graph if vertex.digest in found]
