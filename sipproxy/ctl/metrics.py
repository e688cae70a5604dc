"""Metrics for Prometheus: read off a node when somebody asks, counted where it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from sipproxy import __version__
from sipproxy.node import Node

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
        yield from self._names()
        yield from self._store()

    def _server(self) -> Iterator[Metric]:
        node = self._node
        info = GaugeMetricFamily("sipproxy_info", "Which server this is.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        users = sum(1 for _ in node.location.aors())
        yield _gauge("sipproxy_users_registered", "Users with a binding.", users)
        yield _gauge("sipproxy_connections", "Connections of streams.", node.network.connections)

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
        yield _counter("sipproxy_notifications", "NOTIFYs sent.", node.notifier.post.sent)
        text = "Users and packages of whom something is published."
        yield _gauge("sipproxy_publications", text, len(node.publications))

    def _pressure(self) -> Iterator[Metric]:
        node = self._node
        refused = {(why,): count for why, count in node.pressure.refused.items()}
        refused["transactions",] = node.layer.turned_away
        yield _counters("sipproxy_refused", "Requests beyond a limit.", ("limit",), refused)
        yield _gauge(
            "sipproxy_behind", "1 while new requests are put off.", node.pressure.is_behind
        )
        text = "How late the server's ticks were, all together."
        yield _counter("sipproxy_reactor_lag_seconds", text, node.ticker.lag)
        text = "How full the fullest receive queue of UDP is, of 1."
        yield _gauge("sipproxy_udp_queue_fullness", text, node.network.fullness)

    def _names(self) -> Iterator[Metric]:
        resolver = self._node.network.resolver
        yield _gauge("sipproxy_dns_answers_kept", "Answers of the DNS in memory.", resolver.kept)
        text = "Next hops that failed just now."
        yield _gauge("sipproxy_hops_avoided", text, len(self._node.network.breaker))

    def _store(self) -> Iterator[Metric]:
        waiting = getattr(self._node.store, "__len__", None)
        if waiting is not None:
            yield _gauge("sipproxy_store_waiting", "Changes that are not written yet.", waiting())


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


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
    """Return what gives the metrics of a node as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(node))
    return lambda: generate_latest(registry)
