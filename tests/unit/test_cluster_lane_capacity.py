"""How many lanes a cluster has room for, or may grow to have. No Ray."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vibesweep.cluster.lane_capacity import Cluster, HostType, plan_lanes, workers_on
from vibesweep.config import Sweep, TrialResources
from vibesweep.errors import ResourceError

SWEEP = Sweep(space={}, trials=4)
MANY = replace(SWEEP, trials=100)
TWO_HOSTS = Cluster([{"CPU": 4.0, "GPU": 1.0}, {"CPU": 2.0}])
ONE_GPU = TrialResources(cpus_per_worker=4, gpus_per_worker=1)
HEAD = {"CPU": 4.0}
SMALL = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:L4": 1.0}
LARGE = {"CPU": 32.0, "GPU": 4.0, "accelerator_type:H100": 1.0}
SPOT = {"CPU": 16.0}
GROWING = Cluster(
    [HEAD],
    [
        HostType("head", HEAD, 0),
        HostType("spot", SPOT, 4),
        HostType("small", SMALL, 8),
        HostType("large", LARGE, 2),
    ],
    9,
)
MIXED = Cluster([SMALL, SMALL, SMALL, LARGE])


@pytest.mark.parametrize(
    ("resources", "lanes", "expected"),
    [
        (TrialResources(), None, 4),  # six would fit; no more than there are trials
        # 1 and 2 CPUs that are left over on two hosts make no worker of 3
        (TrialResources(cpus_per_worker=3), None, 1),
        (TrialResources(workers=3), None, 2),
        (TrialResources(cpus_per_worker=1, gpus_per_worker=1), None, 1),
        (TrialResources(cpus_per_worker=0, gpus_per_worker=1), None, 1),
        (TrialResources(gpus_per_worker=0.5), None, 2),
        (TrialResources(), 3, 3),
    ],
)
def test_lanes_follow_from_the_hosts(
    resources: TrialResources, lanes: int | None, expected: int
) -> None:
    sweep = replace(SWEEP, resources=resources, lanes=lanes)
    assert plan_lanes(sweep, TWO_HOSTS) == [resources] * expected


def test_lanes_that_train_several_trials_at_a_time_are_fewer() -> None:
    assert len(plan_lanes(replace(SWEEP, trials_per_lane=3), TWO_HOSTS)) == 2
    assert len(plan_lanes(replace(SWEEP, trials_per_lane=8), TWO_HOSTS)) == 1


@pytest.mark.parametrize(
    ("resources", "lanes", "message"),
    [
        (
            TrialResources(),
            7,
            r"7 lanes need 7 workers .* has 6 CPUs and 1 GPUs\. .*\(6 would fit\)",
        ),
        (TrialResources(workers=7), None, "1 lane needs 7 workers"),
        (TrialResources(cpus_per_worker=5), None, r"\(0 would fit\)"),
        (TrialResources(gpus_per_worker=1), 2, r"1 GPUs each, and .*\(1 would fit\)"),
        (
            TrialResources(gpus_per_worker=1, accelerator_type="L4"),
            None,
            r"1 GPUs each of type L4, and .*\(0 would fit\)",
        ),
    ],
)
def test_more_than_fits_is_refused(
    resources: TrialResources, lanes: int | None, message: str
) -> None:
    sweep = replace(SWEEP, resources=resources, lanes=lanes)
    with pytest.raises(ResourceError, match=message):
        plan_lanes(sweep, TWO_HOSTS)


@pytest.mark.parametrize(
    ("gpus", "share", "workers"),
    [
        (1.0, 0.5, 2),
        (1.0, 0.1, 10),  # 1.0 // 0.1 is 9
        (1.0, 0.3, 3),
        (2.0, 0.4, 4),  # two on each GPU: a share is of one GPU
        (8.0, 1, 8),
        (4.0, 1.0, 4),
        (0.0, 0.5, 0),
    ],
)
def test_shares_are_of_one_gpu(gpus: float, share: float, workers: int) -> None:
    assert workers_on({"CPU": 64.0, "GPU": gpus}, TrialResources(gpus_per_worker=share)) == workers


def test_hosts_that_may_come_are_counted() -> None:
    of_one_gpu = replace(MANY, resources=ONE_GPU)
    assert len(plan_lanes(of_one_gpu, GROWING)) == 2 * 4 + 7, "large ones first, nine hosts in all"
    assert len(plan_lanes(replace(of_one_gpu, trials=4), GROWING)) == 4
    assert len(plan_lanes(replace(of_one_gpu, lanes=3), GROWING)) == 3


def test_lanes_of_several_workers_on_hosts_that_may_come_name_their_gpus() -> None:
    two = replace(ONE_GPU, workers=2)
    plan = plan_lanes(replace(MANY, resources=two), GROWING)
    assert [lane.accelerator_type for lane in plan] == ["H100"] * 4 + ["L4"] * 3


def test_no_gpu_host_is_asked_for_work_without_gpus() -> None:
    assert len(plan_lanes(MANY, GROWING)) == 4 + 4 * 16
    assert len(plan_lanes(MANY, Cluster([HEAD], [HostType("small", SMALL, 8)], 8))) == 4


def test_what_no_host_type_has_is_refused_with_the_types() -> None:
    asked = replace(MANY, resources=replace(ONE_GPU, accelerator_type="A100"))
    found = (
        r"of type A100, and the cluster has 4 CPUs and 0 GPUs, "
        r"and may have 9 more hosts.*8 small \(8 CPUs, 1 GPUs L4\)"
    )
    with pytest.raises(ResourceError, match=found):
        plan_lanes(asked, GROWING)


def test_a_refusal_names_the_gpus_that_are_there() -> None:
    asked = replace(MANY, resources=ONE_GPU, lanes=8)
    with pytest.raises(ResourceError, match=r"has 56 CPUs and 7 GPUs \(H100, L4\)\."):
        plan_lanes(asked, MIXED)


def test_an_autoscaler_that_does_not_tell_is_asked_for_what_the_user_says() -> None:
    cluster = Cluster([HEAD], open_ended=True)
    assert len(plan_lanes(replace(MANY, resources=ONE_GPU, lanes=5), cluster)) == 5
    assert len(plan_lanes(replace(MANY, resources=ONE_GPU), cluster)) == 1
    assert len(plan_lanes(MANY, cluster)) == 4


def test_the_workers_of_a_lane_have_the_same_gpus() -> None:
    two = replace(ONE_GPU, workers=2)
    sweep = replace(MANY, resources=two)
    plan = plan_lanes(sweep, MIXED)
    assert [lane.accelerator_type for lane in plan] == ["L4", "H100", "H100"], "one L4 is left over"
    one_h100 = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:H100": 1.0}
    on_h100 = [replace(two, accelerator_type="H100")]
    assert plan_lanes(sweep, Cluster([SMALL, one_h100, one_h100])) == on_h100
    assert plan_lanes(sweep, Cluster([SMALL, SMALL])) == [two], "there is only one kind of GPU"
    on_l4 = replace(two, accelerator_type="L4")
    assert plan_lanes(replace(MANY, resources=on_l4), MIXED) == [on_l4]


def test_a_lane_of_one_worker_takes_any_gpu() -> None:
    assert plan_lanes(replace(MANY, resources=ONE_GPU), MIXED) == [ONE_GPU] * 7
