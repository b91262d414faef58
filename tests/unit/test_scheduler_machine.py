"""Runs the state machine of machine.py: some ten thousand steps by default, more on demand.

RAYKERNEL_EXAMPLES=10000 pytest tests/unit/test_scheduler_machine.py --timeout 0
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from .machine import SchedulerMachine

SETTINGS = settings(
    max_examples=int(os.environ.get("RAYKERNEL_EXAMPLES", "300")),
    stateful_step_count=int(os.environ.get("RAYKERNEL_STEPS", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)

TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = SETTINGS
