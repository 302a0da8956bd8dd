"""Deliveries take a value out of the teacher's forward pass and put it into the student's."""

from stillroom.deliveries.delivery import Delivery
from stillroom.deliveries.function import FunctionDelivery
from stillroom.deliveries.method import MethodDelivery
from stillroom.deliveries.module import ModuleDelivery

__all__ = ["Delivery", "FunctionDelivery", "MethodDelivery", "ModuleDelivery"]
