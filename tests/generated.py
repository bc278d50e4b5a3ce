"""How Hypothesis makes sequences for whole nodes: the same ones each time, with no limit of time for one."""

from hypothesis import HealthCheck, Phase, settings

THE_SAME_EACH_TIME = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
