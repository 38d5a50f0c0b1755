"""Runs the peer's latency job on a Flink cluster of two TaskManagers with one slot each, at parallelism 2.

Arguments: the folder of the peer's scripts (run.py), records/s, seconds measured, keys, buffer timeout in ms.
Prints one JSON object: count, percentiles (means of the sinks by their counts), and the cores that all processes kept busy.
"""
import json
import os
import sys
import time

folder, rate, seconds, keys, timeout = sys.argv[1], *map(int, sys.argv[2:6])
sys.path.insert(0, folder)
from run import Cluster, cpu_seconds, http  # noqa: E402

WARM_UP = 10  # what the job's sink leaves out

cluster = Cluster({"taskmanager.memory.process.size": "1728m", "web.refresh-interval": 20}, slots=1, tms=2,
                  name="pelton-latency").start()
try:
    out = os.path.join(cluster.dir, "data", "latency")
    job = cluster.submit("peer.nexmark.LatencyJob", ["record", str(rate), str(WARM_UP + seconds), str(keys),
                                                     str(timeout), "200", out], 2)
    end = time.time() + 60
    while True:
        details = http("GET", "/jobs/" + job)
        if details["state"] == "RUNNING" and all(v["status"] == "RUNNING" for v in details["vertices"]):
            break
        if time.time() > end:
            raise RuntimeError("the job does not run: " + json.dumps(details)[:1000])
        time.sleep(0.05)
    processes = [p.pid for p in [cluster.jm] + cluster.tms]
    cpu = lambda: sum(cpu_seconds(p) for p in processes)
    time.sleep(WARM_UP)
    before, start = cpu(), time.time()
    time.sleep(seconds - 1)
    cores = (cpu() - before) / (time.time() - start)
    end = time.time() + 120
    while http("GET", "/jobs/" + job)["state"] not in ("FINISHED", "FAILED", "CANCELED") and time.time() < end:
        time.sleep(0.1)
    sinks = []
    for subtask in range(2):
        with open("%s.%d" % (out, subtask)) as f:
            sinks.append(json.load(f))
    # The sinks keep histograms of their own; with keys spread evenly they differ little, and the mean is weighted.
    count = sum(s["count"] for s in sinks)
    mean = lambda name: sum(s[name] * s["count"] for s in sinks) / count
    print(json.dumps({"count": count, "p50_ms": mean("p50_ms"), "p99_ms": mean("p99_ms"), "p999_ms": mean("p999_ms"),
                      "cores": cores}))
finally:
    cluster.stop()
