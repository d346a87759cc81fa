"""Asks a server what scripts ask with the library prometheus-api-client, and prints the answers as JSON.

usage: api_client.py URL TIME METHOD      (TIME: seconds; METHOD: GET or POST)"""
import json
import sys
from datetime import datetime, timedelta, timezone

from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

url, time, method = sys.argv[1], float(sys.argv[2]), sys.argv[3]
now = datetime.fromtimestamp(time, timezone.utc)
before = now - timedelta(minutes=30)
client = PrometheusConnect(url=url, method=method)


def refusal(query):
    """What the library raises for an expression that cannot be answered."""
    try:
        return f"answered: {client.custom_query(query)}"
    except PrometheusApiClientException as error:
        return str(error)


chunks = client.get_metric_range_data("up", {"job": "node"}, start_time=before, end_time=now, chunk_size=timedelta(minutes=10))
counts = {}
for chunk in chunks:
    name = json.dumps(chunk["metric"], sort_keys=True)
    counts[name] = counts.get(name, 0) + len(chunk["values"])
answers = {
    "reachable": client.check_prometheus_connection(),
    "metrics": client.all_metrics(),
    "names": client.get_label_names(),
    "clusters": client.get_label_values("cluster"),
    "series": client.get_series(before, now, params={"match[]": "up"}),
    "current": client.get_current_metric_value("up", {"job": "node"}, params={"time": time}),
    "query": client.custom_query("sum by (cluster) (rate(http_requests_total[5m]))", params={"time": time}),
    "range": client.custom_query_range("count by (cluster) (up)", before, now, "60"),
    "samples": counts,
    "refused": refusal("sum(("),
}
print(json.dumps(answers))
