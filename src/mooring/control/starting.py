"""How control comes up: everything that it is made of, in the order in which it may begin."""

from __future__ import annotations

from mooring.clock import Clock
from mooring.control.access import Access
from mooring.control.alarm_book import AlarmBook
from mooring.control.alarms import CloudWatch
from mooring.control.async_queue import AsyncQueue
from mooring.control.async_work import AsyncWork
from mooring.control.capture_keys import CaptureKeys
from mooring.control.capturing import Capturing
from mooring.control.kms import Kms
from mooring.control.metering import Metering
from mooring.control.neighbours import Neighbours
from mooring.control.own_keys import client_key
from mooring.control.publishing import RoutePublisher
from mooring.control.service import ControlService
from mooring.control.surroundings import Surroundings
from mooring.control.topics import Topics
from mooring.data_capture.observing import Capture
from mooring.engines.process import ProcessEngine
from mooring.explainer.preparing.baselines import BaselineStore
from mooring.keys.master import open_master_key
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.store import Store


async def start(settings: Settings, paths: Paths, store: Store, clock: Clock) -> ControlService:
    """Bring control up: keys, listen for gateways, adopt, reconcile. Raises `DataDirectoryError`."""
    master = open_master_key(paths.master_key, settings.access)
    publisher = RoutePublisher(paths, store.epoch, settings.server.workers, 0 if settings.objects.endpoint_url else 1)
    access = Access(settings, paths, store, clock, master, publisher)
    await access.start()
    kms = Kms(settings, paths, store, clock, master, access.keyring if access.needed else None)
    await kms.start()
    engine = ProcessEngine(paths, settings, clock, client_key(access.replicas_key))
    metering = await Metering.open(settings.metrics, paths, publisher, clock)
    asynchronous = await AsyncQueue.open(settings.async_inference, paths, store, publisher, clock)
    await publisher.start()
    neighbours = Neighbours(settings, paths, clock)
    book = await AlarmBook.open(store, clock)
    cloudwatch = CloudWatch(book, settings.deployments.cloudwatch_url, clock)
    capture_keys = CaptureKeys(kms, publisher, clock, s3_is_elsewhere=bool(settings.objects.endpoint_url))
    topics = Topics(neighbours, settings.neighbours.sns_url)
    baselines = BaselineStore(paths, settings)
    around = Surroundings(settings, paths, store, clock, engine, publisher, cloudwatch, capture_keys, topics, baselines)
    capturing = Capturing(settings, paths, store, clock, publisher, capture_keys)
    capture = Capture(paths.capture, settings.capture, capturing.heed_own)
    capture_keys.takers.append(capture.take_keys)
    publisher.withdrawn.append(capture.forget)
    jobs = AsyncWork(settings, paths, store, asynchronous.queue, clock, publisher, metering, topics, capture)
    service = ControlService(around, neighbours, access, capturing, kms, metering, book, asynchronous, jobs)
    await service.adopt()
    return service
