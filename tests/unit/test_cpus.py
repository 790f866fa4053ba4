"""How many CPUs there are, told by the affinity mask and by trees like those of a container host."""

import os

import pytest

from service.cpus import available_cpus


@pytest.fixture
def four_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


@pytest.fixture
def cgroups(tmp_path):
    """Make a tree of cgroup files and tell how many CPUs a process with that membership may use."""

    def count(membership: str, files: dict[str, str]) -> int:
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_cpus(tmp_path / "cgroup", tmp_path / "membership")

    return count


V1 = "4:memory:/box\n3:cpu,cpuacct:/box\n"


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        pytest.param("0::/\n", {}, 4, id="no quota"),
        pytest.param("0::/\n", {"cpu.max": "200000 100000\n"}, 2, id="version 2"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 4, id="version 2, no limit"),
        pytest.param("0::/\n", {"cpu.max": "800000 100000\n"}, 4, id="more than there are"),
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1, id="a fraction is left to the web side"),
        pytest.param("0::/\n", {"cpu.max": "50000 100000\n"}, 1, id="never none"),
        pytest.param("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 1\n"}, 3, id="above"),
        pytest.param("0::/host/path\n", {"cpu.max": "200000 100000\n"}, 2, id="a path of the host's"),
        pytest.param("0::/x\n", {"unified/x/cpu.max": "100000 100000\n"}, 1, id="version 2 beside 1"),
        pytest.param(
            V1,
            {"cpu,cpuacct/box/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/box/cpu.cfs_period_us": "100000\n"},
            2,
            id="version 1",
        ),
        pytest.param(
            V1,
            {"cpu/box/cpu.cfs_quota_us": "-1\n", "cpu/box/cpu.cfs_period_us": "100000\n"},
            4,
            id="version 1, no limit",
        ),
        pytest.param("0::/\n", {"cpu.max": "nonsense\n"}, 4, id="unreadable"),
    ],
)
def test_a_quota_bounds_the_cpus(four_cpus, cgroups, membership, files, cpus):
    assert cgroups(membership, files) == cpus


def test_without_cgroups_the_affinity_mask_counts(four_cpus, tmp_path):
    assert available_cpus(tmp_path / "none", tmp_path / "none either") == 4


def test_the_real_machine_has_at_least_one():
    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))
