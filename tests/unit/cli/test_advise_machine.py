"""What ``advise`` reads of the machine, from trees like those of a container host, and of a process."""

import os

import pytest

from service.cli.advise import machine
from service.cli.advise.clock import Clock
from service.cli.advise.figures import Machine
from service.cli.advise.paces import slot_counts
from service.cli.advise.process import Memory, waited_for_cpu

MIB = 1 << 20
MEMINFO = f"MemTotal: {8 * 1024 * 1024} kB\nMemFree: 5 kB\nMemAvailable: {4 * 1024 * 1024} kB\n"


@pytest.fixture
def look(tmp_path):
    """Make a tree of cgroup files and look at the machine that it tells of."""

    def read(membership: str, files: dict[str, str]) -> Machine:
        (tmp_path / "membership").write_text(membership)
        (tmp_path / "meminfo").write_text(MEMINFO)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return machine.look(tmp_path / "cgroup", tmp_path / "membership", tmp_path / "meminfo")

    return read


def test_without_limits_it_is_the_machines_own(look):
    found = look("0::/\n", {})

    assert (found.memory, found.available, found.memory_limit) == (8192 * MIB, 4096 * MIB, None)
    assert (found.affinity, found.quota) == (len(os.sched_getaffinity(0)), None)


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        pytest.param(
            "0::/a/b\n",
            {
                "a/memory.max": f"{1024 * MIB}\n",
                "a/memory.current": f"{500 * MIB}\n",
                "a/memory.stat": f"anon 5\ninactive_file {100 * MIB}\n",
                "a/b/memory.max": "max\n",
            },
            id="version 2",
        ),
        pytest.param(
            "3:memory:/box\n2:cpu:/box\n",
            {
                "memory/box/memory.limit_in_bytes": f"{1024 * MIB}\n",
                "memory/box/memory.usage_in_bytes": f"{500 * MIB}\n",
                "memory/box/memory.stat": f"cache 7\ninactive_file 5\ntotal_inactive_file {100 * MIB}\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            id="version 1",
        ),
    ],
)
def test_the_limit_of_a_cgroup_leaves_what_it_does_not_use(look, membership, files):
    found = look(membership, files)

    assert (found.memory_limit, found.available) == (1024 * MIB, 624 * MIB)


def test_a_quota_is_told_beside_the_cpus_that_count(look):
    found = look("0::/\n", {"cpu.max": "150000 100000\n"})

    assert (found.quota, found.usable) == (1.5, 1)


def test_a_process_tells_its_memory():
    found = Memory.of(os.getpid())

    assert 0 < found.proportional <= found.peak
    assert waited_for_cpu(os.getpid()) >= 0


def test_a_process_that_is_gone_has_none():
    with pytest.raises(OSError, match="/proc"):
        Memory.of(2**22 + 1)
    assert waited_for_cpu(2**22 + 1) == 0.0


@pytest.mark.parametrize(
    ("most", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (12, [1, 2, 4, 8, 12])]
)
def test_slots_are_doubled_up_to_all_of_them(most, counts):
    assert slot_counts(most) == counts


class TestClock:
    def test_it_is_silent_at_first(self):
        told: list[str] = []
        Clock(10, told.append).step("something")
        Clock(10, told.append, begun=0.0).step("something else")

        assert told == ["something else"]

    def test_a_part_of_it_began_when_it_did(self):
        clock = Clock(100, lambda _: None)

        assert 0 < clock.part(0.5).left <= 50
        assert clock.end - clock.part(0.75).end == pytest.approx(25)

    def test_repeating_ends_with_the_budget(self):
        used_up = Clock(1, lambda _: None, begun=0.0)

        assert len(list(used_up.repeat(5, least=3, most=10))) == 1

    def test_repeating_has_a_least_and_a_most(self):
        clock = Clock(100, lambda _: None)

        assert len(list(clock.repeat(0, least=3, most=10))) == 3
        assert len(list(clock.repeat(50, least=3, most=10))) == 10
