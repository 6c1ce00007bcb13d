"""Nearest vectors by NumPy, faiss-cpu's flat index and hnswlib: python3 collection.py FOLDER_OF_NPY QUERIES.npy K

Prints JSON: indices by NumPy, exactly, in f64, equal scores by index; milliseconds a query and indices of the others, on one thread.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

folder, queries, k = Path(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3])
vectors = np.concatenate([np.load(path) for path in sorted(folder.iterdir())])


def exact():
    best, rows = np.full((len(queries), k), -np.inf), np.zeros((len(queries), k), int)
    for begin in range(0, len(vectors), 50_000):
        scores = queries.astype("f8") @ vectors[begin : begin + 50_000].astype("f8").T
        scores = np.concatenate([best, scores], axis=1)
        all_rows = np.concatenate([rows, np.tile(begin + np.arange(scores.shape[1] - k), (len(queries), 1))], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(all_rows, order, 1)
    return rows


def timed(search):
    times = []
    for query in queries:
        begin = time.perf_counter()
        search(query[None])
        times.append(1000 * (time.perf_counter() - begin))
    return float(np.median(times))


found = {"numpy": exact().tolist()}
try:
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    found["faiss flat"] = {"ms": timed(lambda q: flat.search(q, k)), "rows": flat.search(queries, k)[1].tolist()}
    begin = time.perf_counter()
    flat.search(queries, k)
    found["faiss flat"]["batchMs"] = 1000 * (time.perf_counter() - begin) / len(queries)
except ImportError:
    pass
try:
    import hnswlib

    if len(vectors) > 200_000:
        raise ImportError("its graph of a million vectors takes an hour")

    graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
    graph.init_index(max_elements=len(vectors), ef_construction=100, M=16)
    begin = time.perf_counter()
    graph.add_items(vectors, num_threads=2)
    built = time.perf_counter() - begin
    graph.set_ef(100)
    graph.set_num_threads(1)
    found["hnswlib"] = {"ms": timed(lambda q: graph.knn_query(q, k)), "rows": graph.knn_query(queries, k)[0].tolist()}
    found["hnswlib"]["buildSeconds"] = built
except ImportError:
    pass
print(json.dumps(found))
