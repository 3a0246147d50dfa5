//! predict STATE INPUTS: prints the bits of what is predicted for a file of records.
use std::ffi::c_void;

#[link(name = "net")]
extern "C" {
    fn net_selftest_size() -> usize;
    fn net_selftest_run(memory: *mut c_void, size: usize) -> i32;
    fn net_state_size() -> usize;
    fn net_state_read(state: *mut c_void, bytes: *const c_void, size: usize) -> i32;
    fn net_predict_arena_size(batch: i64) -> usize;
    fn net_predict(state: *const c_void, arena: *mut c_void, batch: i64, inputs: *const f32, prediction: *mut f32) -> i32;
}

/// Memory that is aligned to 8 bytes.
fn memory(size: usize) -> Vec<u64> {
    vec![0; size / 8 + 1]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let file = std::fs::read(&paths[0])?;
    let inputs: Vec<f32> = std::fs::read(&paths[1])?
        .chunks_exact(4)
        .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let batch = inputs.len() / 12;
    let mut scores = vec![0f32; 3 * batch];
    unsafe {
        let size = net_selftest_size();
        assert_eq!(net_selftest_run(memory(size).as_mut_ptr().cast(), size), 0);
        let mut state = memory(net_state_size());
        let mut arena = memory(net_predict_arena_size(batch as i64));
        assert_eq!(net_state_read(state.as_mut_ptr().cast(), file.as_ptr().cast(), file.len()), 0);
        let state = state.as_ptr().cast();
        let status = net_predict(state, arena.as_mut_ptr().cast(), batch as i64, inputs.as_ptr(), scores.as_mut_ptr());
        assert_eq!(status, 0);
    }
    for score in scores {
        println!("{:08x}", score.to_bits());
    }
    Ok(())
}
