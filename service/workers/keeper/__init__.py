"""Keeper: periodic maintenance with the rights of the table owner."""

from service.workers.keeper.keeper import Keeper, UnknownStep
from service.workers.keeper.steps import SCHEDULE, Step, all_steps
from service.workers.progress import StepCounts, StepProgress

__all__ = ["SCHEDULE", "Keeper", "Step", "StepCounts", "StepProgress", "UnknownStep", "all_steps"]
