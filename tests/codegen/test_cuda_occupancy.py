"""Occupancy agrees with NVIDIA's calculator where its header is at hand, and with worked examples everywhere."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

from sigmagraph.codegen.cuda.cubin import Resources
from sigmagraph.codegen.cuda.occupancy import Occupancy, architectures, limits_of, occupancy
from sigmagraph.codegen.cuda.report import resources_text
from sigmagraph.codegen.cuda.sass import count_instructions
from sigmagraph.errors import TargetError

CALCULATOR = r"""
#include <cstdio>
#include "cuda_occupancy.h"
int main() {
  int major, minor, threads, registers, shared, barriers, warps;
  long total, optin, reserved;
  while (scanf("%d %d %d %d %d %d %d %ld %ld %ld", &major, &minor, &threads, &registers, &shared, &barriers, &warps,
               &total, &optin, &reserved) == 10) {
    cudaOccDeviceProp device;
    device.computeMajor = major; device.computeMinor = minor;
    device.maxThreadsPerBlock = 1024; device.maxThreadsPerMultiprocessor = 32 * warps;
    device.regsPerBlock = 65536; device.regsPerMultiprocessor = 65536; device.warpSize = 32;
    device.sharedMemPerBlock = 49152; device.sharedMemPerMultiprocessor = total; device.numSms = 1;
    device.sharedMemPerBlockOptin = optin; device.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024; kernel.numRegs = registers; kernel.sharedSizeBytes = 0;
    kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN; kernel.maxDynamicSharedSizeBytes = shared;
    kernel.numBlockBarriers = barriers;
    cudaOccDeviceState state;
    cudaOccResult result;
    int status = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, shared);
    printf("%d %d %u\n", status, result.activeBlocksPerMultiprocessor, result.limitingFactors);
  }
}
"""
FACTORS = {"warps": 1, "registers": 2, "shared": 4, "blocks": 8, "barriers": 16}
THREADS = (1, 32, 96, 128, 160, 256, 384, 512, 1000, 1024, 1056)
REGISTERS = (0, 16, 24, 32, 33, 40, 64, 72, 128, 168, 255)
SHARED = (0, 1, 1024, 8704, 16384, 33280, 49152, 49153, 65536, 65537, 101376, 101377, 166912, 166913, 232448, 232449)
BARRIERS = (0, 1, 3, 16)


def header() -> Path | None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    told = subprocess.run([nvcc, "--dryrun", "-x", "cu", "/dev/null"], capture_output=True, text=True, check=False)
    tops = [line.split("TOP=", 1)[1].strip() for line in told.stderr.splitlines() if "TOP=" in line]
    found = [Path(top) / "include" / "cuda_occupancy.h" for top in tops]
    return next((path for path in found if path.exists()), None)


def agree(theirs: tuple[int, ...], our: Occupancy) -> bool:
    """Where barriers run out, theirs goes on to name what would have been short without them."""
    status, blocks, factors = theirs
    own = sum(FACTORS[name] for name in our.limits)
    named = own & factors == own if own & FACTORS["barriers"] else own == factors
    return (status, blocks) == (0, our.blocks) and named


def test_nvidias_calculator_says_the_same(tmp_path):
    compiler, path = shutil.which("g++"), header()
    if compiler is None or path is None:
        pytest.skip("needs g++ and cuda_occupancy.h of a CUDA toolkit")
    source, program = tmp_path / "calculator.cpp", tmp_path / "calculator"
    source.write_text(CALCULATOR)
    subprocess.run([compiler, "-w", f"-I{path.parent}", str(source), "-o", str(program)], check=True)
    cases = list(itertools.product(architectures(), THREADS, REGISTERS, SHARED, BARRIERS))
    lines = []
    for arch, threads, registers, shared, barriers in cases:
        number, limits = int(arch[3:]), limits_of(arch)
        facts = (limits.warps, limits.shared, limits.block_shared, limits.reserved)
        lines.append(" ".join(map(str, (number // 10, number % 10, threads, registers, shared, barriers, *facts))))
    done = subprocess.run([str(program)], input="\n".join(lines), capture_output=True, text=True, check=True)
    told = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    ours = [occupancy(*case) for case in cases]
    wrong = [case for case, theirs, our in zip(cases, told, ours, strict=True) if not agree(theirs, our)]
    assert len(cases) > 10_000
    assert wrong == []


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks", "limits"),
    [
        ("sm_80", 256, 40, 0, 6, ("registers",)),
        ("sm_90", 256, 137, 33280, 1, ("registers",)),
        ("sm_90", 256, 128, 33280, 2, ("registers",)),
        ("sm_80", 128, 120, 44544, 3, ("shared",)),
        ("sm_90a", 128, 32, 0, 16, ("warps", "registers")),
        ("sm_75", 1024, 32, 0, 1, ("warps",)),
        ("sm_75", 32, 16, 65537, 0, ("shared",)),
        ("sm_86", 32, 16, 0, 16, ("blocks",)),
        ("sm_89", 32, 16, 0, 24, ("blocks",)),
    ],
)
def test_worked_examples(arch, threads, registers, shared, blocks, limits):
    found = occupancy(arch, threads, registers, shared)
    assert (found.blocks, found.limits) == (blocks, limits)
    assert found.warps == blocks * -(-threads // 32)
    assert found.share == found.warps / limits_of(arch).warps


def test_an_unknown_architecture_is_told():
    with pytest.raises(TargetError, match="not known") as told:
        occupancy("sm_35", 32, 16, 0)
    assert "sm_80" in str(told.value)


def test_the_table_has_a_row_for_each_launched_kernel_and_architecture():
    builds = {
        "sm_80": [Resources("gemm", 128, 0, 0, 0, 0, 0, 1), Resources("unused", 8, 0, 0, 0, 0, 0)],
        "sm_90a": [Resources("gemm", 137, 0, 64, 8, 12, 64, 1)],
        "sm_52": [Resources("gemm", 99, 0, 0, 0, 0, 0, 1)],
    }
    rows = [line.split() for line in resources_text(builds, {"gemm": (256, 33280)}).splitlines()]
    assert rows[0][:3] == ["kernel", "for", "threads"]
    assert rows[1:] == [
        ["gemm", "sm_80", "256", "128", "33280", "0", "0", "2", "16", "25%", "registers"],
        ["gemm", "sm_90a", "256", "137", "33280", "64", "8+12", "1", "8", "12%", "registers"],
        ["gemm", "sm_52", "256", "99", "33280", "0", "0", "?", "?", "?", "?"],
    ]


LISTING = """
\t.target\tsm_80
.text.main:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128.CONSTANT R4, [R2.64] ;
        /*0020*/              @P1  LDG.E R8, [R2.64+0x10] ;
        /*0030*/                   LDGSTS.E.BYPASS.128 [R5], [R2.64] ;
        /*0040*/                   LDS.128 R8, [R4] ;
        /*0050*/                   LDSM.16.M88.4 R8, [R4] ;
        /*0060*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0070*/                   FFMA R4, R4, R5, R6 ;
        /*0080*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0090*/                   SHFL.BFLY PT, R4, R5, 0x1, 0x1f ;
        /*00a0*/                   STG.E.128 [R2.64], R4 ;
        /*00b0*/              @UP0 STL [R1], R4 ;
        /*00c0*/                   EXIT ;
        /*00d0*/                   NOP;
"""


def test_instructions_are_counted_and_shown():
    (sass,) = count_instructions(LISTING)
    assert (sass.symbol, sass.total, sass.tensor, sass.fma, sass.copies) == ("main", 13, 1, 1, 1)
    assert (sass.loads, sass.wide_loads, sass.stores, sass.wide_stores) == (2, 1, 1, 1)
    assert (sass.shared_loads, sass.wide_shared_loads, sass.barriers, sass.shuffles, sass.local) == (2, 1, 1, 1, 1)
    text = resources_text({"sm_80": [Resources("main", 32, 0, 0, 0, 0, 0)]}, {"main": (128, 0)}, [sass])
    assert text.splitlines()[-1].split() == ["main", "13", "1", "1", "1x4+2x16", "1x16", "2/1", "1", "1", "1"]
