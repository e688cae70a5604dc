"""Metrics for Prometheus: read off a node when somebody asks, counted where it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from sipproxy import __version__
from sipproxy.node import Node
from sipproxy.transport.durations import Durations

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_Labels = tuple[str, ...]
_Values = Mapping[Any, float]  # by the values of the labels


class NodeCollector(Collector):
    """Gives a node's metrics; each is a sentence of `docs/operator.md`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterable[Metric]:
        """Return every metric as it is now."""
        yield from self._server()
        yield from self._traffic()
        yield from self._presence()
        yield from self._pressure()
        yield from self._connections()
        yield from self._tls()
        yield from self._names()
        yield from self._store()

    def _server(self) -> Iterator[Metric]:
        node = self._node
        info = GaugeMetricFamily("sipproxy_info", "Which server this is.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        users = sum(1 for _ in node.location.aors())
        yield _gauge("sipproxy_users_registered", "Users with a binding.", users)
        yield _gauge("sipproxy_bindings", "Bindings of all users.", bindings_of(node))

    def _traffic(self) -> Iterator[Metric]:
        layer, core = self._node.layer, self._node.core
        requests = {(method.decode(),): count for method, count in layer.requests.items()}
        yield _counters("sipproxy_requests", "Requests that came.", ("method",), requests)
        answers = {
            (method.decode(), f"{kind}xx"): count for (method, kind), count in core.answers.items()
        }
        yield _counters("sipproxy_responses", "Responses sent.", ("method", "class"), answers)
        text = "Transactions in memory, lingering ones too."
        kinds = {("server",): layer.servers, ("client",): len(layer) - layer.servers}
        yield _gauges("sipproxy_transactions", text, ("side",), kinds)

    def _presence(self) -> Iterator[Metric]:
        node = self._node
        text = "Subscriptions to our users, waiting ones too."
        population = node.notifier.census.population
        counts = {(p.decode(), s.decode()): count for (p, s), count in population.items()}
        yield _gauges("sipproxy_subscriptions", text, ("package", "status"), counts)
        post = node.notifier.post
        yield _counter("sipproxy_notifications", "NOTIFYs sent.", post.sent)
        text = "What became of NOTIFYs that nothing newer has taken the place of."
        outcomes = {(outcome,): count for outcome, count in post.outcomes.items()}
        yield _counters("sipproxy_notification_outcomes", text, ("outcome",), outcomes)
        text = "Users and packages of whom something is published."
        yield _gauge("sipproxy_publications", text, len(node.publications))

    def _pressure(self) -> Iterator[Metric]:
        node = self._node
        refused = {(why,): count for why, count in node.pressure.refused.items()}
        refused["transactions",] = node.layer.turned_away
        refused |= {(limit,): count for limit, count in node.core.limited.items()}
        yield _counters("sipproxy_refused", "Requests beyond a limit.", ("limit",), refused)
        yield _gauge(
            "sipproxy_behind", "1 while new requests are put off.", node.pressure.is_behind
        )
        text = "How late the server's ticks were, all together."
        yield _counter("sipproxy_reactor_lag_seconds", text, node.ticker.lag)
        text = "How full the fullest receive queue of UDP is, of 1."
        yield _gauge("sipproxy_udp_queue_fullness", text, node.network.fullness)
        text = "Datagrams that found no room in the kernel."
        dropped = {(direction,): count for direction, count in node.network.dropped.items()}
        yield _counters("sipproxy_udp_dropped", text, ("direction",), dropped)
        waiting = {
            ("connecting",): node.network.connecting,
            ("dns",): node.network.resolver.names.under_way,
            ("notifier",): node.notifier.waiting,
        }
        yield _gauges("sipproxy_waiting", "What waits, by for what.", ("queue",), waiting)

    def _connections(self) -> Iterator[Metric]:
        network = self._node.network
        yield _gauge("sipproxy_connections", "Connections of streams.", network.connections)
        closed = {(limit,): count for limit, count in network.counts.closed.items()}
        text = "Connections that we closed, by the limit that they met."
        yield _counters("sipproxy_connections_closed", text, ("limit",), closed)

    def _tls(self) -> Iterator[Metric]:
        network = self._node.network
        text, labels = "Handshakes of TLS, in and out.", ("direction", "outcome")
        yield _counters("sipproxy_tls_handshakes", text, labels, network.counts.handshakes)
        versions = {(version,): count for version, count in network.counts.versions.items()}
        text = "Connections with TLS whose handshake is over."
        yield _gauges("sipproxy_tls_connections", text, ("version",), versions)
        text = "When the first certificate of a chain of ours expires, in seconds since 1970."
        ends = {(pair.key, pair.file): pair.expires.timestamp() for pair in network.contexts.pairs}
        name = "sipproxy_tls_certificate_expiry_timestamp_seconds"
        yield _gauges(name, text, ("key", "file"), ends)

    def _names(self) -> Iterator[Metric]:
        names = self._node.network.resolver.names
        text, labels = "Questions to the DNS.", ("type", "outcome")
        yield _counters("sipproxy_dns_queries", text, labels, names.outcomes)
        yield _histogram("sipproxy_dns_query_seconds", "How long the DNS took.", names.took)
        text = "Answers of the DNS that were in memory."
        yield _counter("sipproxy_dns_cache_hits", text, names.hits)
        yield _gauge("sipproxy_dns_answers_kept", "Answers of the DNS in memory.", len(names))
        text = "Next hops that failed just now."
        yield _gauge("sipproxy_hops_avoided", text, len(self._node.network.breaker))

    def _store(self) -> Iterator[Metric]:
        store: Any = self._node.store
        if hasattr(store, "__len__"):
            text = "Changes that are not written yet."
            yield _gauge("sipproxy_store_waiting", text, waiting_of(self._node))
        if hasattr(store, "took"):
            text = "How long it took to write changes, together."
            yield _histogram("sipproxy_store_commit_seconds", text, store.took)
            text = "Times that changes could not be written."
            yield _counter("sipproxy_store_errors", text, store.failures)


def bindings_of(node: Node) -> int:
    """Return how many bindings there are; a location of a plugin's may have to be counted."""
    location: Any = node.location
    if hasattr(location, "count"):
        return int(location.count)
    return sum(len(location.bindings(aor)) for aor in location.aors())


def waiting_of(node: Node) -> int:
    """Return how many changes are not written yet."""
    store: Any = node.store
    return len(store) if hasattr(store, "__len__") else 0


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    buckets = [(f"{bound:g}".replace("inf", "+Inf"), float(n)) for bound, n in durations.up_to]
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=durations.total)


def _gauges(name: str, text: str, labels: _Labels, values: _Values) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), values)


def _counters(name: str, text: str, labels: _Labels, values: _Values) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), values)


def _filled(family: Any, values: _Values) -> Metric:
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    filled: Metric = family
    return filled


def scraper(node: Node) -> Callable[[], bytes]:
    """Return what gives the metrics of a node as Prometheus reads them, and of its process."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(node))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)
