"""Cse: equal nodes become one, and different ones stay apart."""

from __future__ import annotations

from graph_checks import check_pass, graph_of, run_pass

from sigmagraph.passes.cse import Cse


def test_equal_nodes_become_one() -> None:
    check_pass(
        Cse(),
        """graph @g(%x: input f32[n,3], %key: param i64[2]) -> (y: %y, r: %r) {
          %a = exp(%x) %b = exp(%x) %c = neg(%a) %d = neg(%b) %y = mul(%c, %d)
          %k = random_bits(%key) {shape = [n], stream = 1} %l = random_bits(%key) {shape = [n], stream = 1} %r = xor(%k, %l)
        }""",
        """graph @g(%x: input f32[n,3], %key: param i64[2]) -> (y: %y, r: %r) {
          %a = exp(%x) %c = neg(%a) %y = mul(%c, %c)
          %k = random_bits(%key) {shape = [n], stream = 1} %r = xor(%k, %k)
        }""",
    )


def test_attributes_and_operands_count() -> None:
    graph = graph_of("""graph @g(%x: input f32[3], %z: input f32[3], %key: param i64[2]) -> (a: %a, b: %b, c: %c, d: %d, e: %e, f: %f) {
      %a = sub(%x, %z) %b = sub(%z, %x)
      %c = constant() {value = dense<f32[]>[0.0]} %d = constant() {value = dense<f32[]>[-0.0]}
      %e = random_bits(%key) {shape = [3], stream = 1} %f = random_bits(%key) {shape = [3], stream = 2}
    }""")
    assert run_pass(Cse(), graph)[0] is graph


def test_ports_of_one_type_stay_apart() -> None:
    graph = graph_of("graph @g(%x: input f32[3], %z: input f32[3]) -> (y: %y) { %y = add(%x, %z) }")
    assert run_pass(Cse(), graph)[0] is graph
