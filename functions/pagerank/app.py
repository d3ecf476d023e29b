"""Ranks the vertices of a random graph (Barabási and Albert's) by PageRank."""

import random
import time

import igraph

EDGES_PER_VERTEX = 10


def handler(event, context):
    size = int(event.get("size", 90000))
    graph = igraph.Graph.Barabasi(size, EDGES_PER_VERTEX)
    began = time.time()
    ranks = graph.pagerank()
    ended = time.time()
    top = max(range(size), key=ranks.__getitem__)
    return {
        "vertices": graph.vcount(),
        "edges": graph.ecount(),
        "sum": sum(ranks),
        "top": {"vertex": top, "rank": ranks[top], "degree": graph.degree(top)},
        "began": began,
        "ended": ended,
    }
