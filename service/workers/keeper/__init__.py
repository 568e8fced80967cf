"""The keeper: what must be done again and again, as the owner of the tables. No step hurries."""

from service.workers.keeper.keeper import Keeper, UnknownStep
from service.workers.keeper.progress import Bar, Progress, summary
from service.workers.keeper.steps import Step, all_steps

__all__ = ["Bar", "Keeper", "Progress", "Step", "UnknownStep", "all_steps", "summary"]
