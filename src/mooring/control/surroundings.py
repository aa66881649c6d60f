"""What every endpoint's worker works with."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.clock import Clock
from mooring.control.alarms import CloudWatch
from mooring.control.capture_keys import CaptureKeys
from mooring.control.publishing import RoutePublisher
from mooring.control.topics import Topics
from mooring.engines.process import ProcessEngine
from mooring.explainer.preparing.baselines import BaselineStore
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.store import Store


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One for all workers."""

    settings: Settings
    paths: Paths
    store: Store
    clock: Clock
    engine: ProcessEngine
    publisher: RoutePublisher
    cloudwatch: CloudWatch
    capture_keys: CaptureKeys
    topics: Topics
    baselines: BaselineStore
