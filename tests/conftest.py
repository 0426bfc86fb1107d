"""What all tests share: one Hypothesis profile, which prints how to reproduce a failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("anabranch", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anabranch")
