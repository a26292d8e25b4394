from dataclasses import fields
from pathlib import Path

import numpy as np

from asrkd.align.graphs import delete_graphs, open_graphs, write_graphs
from asrkd.align.topology import utterance_graph


def test_what_is_written_is_read(tmp_path: Path) -> None:
    texts: list[list[list[list[int]]] | None] = [[[[2, 3], [4]]], None, [], [[[2]], [[3, 3, 5]], [[4], [5]]], None]
    graphs = [None if text is None else utterance_graph(text, 6) for text in texts]
    write_graphs(iter(graphs), tmp_path)
    found = open_graphs(tmp_path)
    assert found.usable.tolist() == [0, 2, 3]
    for number, graph in enumerate(graphs):
        read = found[number]
        assert (read is None) == (graph is None)
        if read is not None:
            for each in fields(read):
                expected = getattr(graph, each.name)
                assert getattr(read, each.name).dtype == expected.dtype
                np.testing.assert_array_equal(getattr(read, each.name), expected)
    delete_graphs(tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_graph_at_all(tmp_path: Path) -> None:
    write_graphs([None, None], tmp_path)
    found = open_graphs(tmp_path)
    assert found.usable.tolist() == []
    assert found[1] is None
