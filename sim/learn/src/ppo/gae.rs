//! Generalised advantage estimation over decisions that take different numbers of ticks.
//!
//! Schulman and others 2016, with the discount of each decision in the place of a constant (semi-Markov).

/// Advantages of one trajectory of decisions, in their order.
///
/// `rewards[t]` is what came between decision `t` and the next, discounted to decision `t`. `discounts[t]` is γ^k for the k
/// ticks between the two, and 0 where the episode terminated. `bootstrap` is the value of where the trajectory was cut
/// (truncated, or the end of the rollout); a terminated one does not use it. All slices have one length.
pub fn gae(
    rewards: &[f32],
    values: &[f32],
    discounts: &[f32],
    bootstrap: f32,
    gae_lambda: f32,
    advantages: &mut [f32],
) {
    let count = rewards.len();
    assert!([values.len(), discounts.len(), advantages.len()] == [count; 3], "one entry a decision");
    let (mut next_value, mut next_advantage) = (bootstrap, 0.0);
    for t in (0..count).rev() {
        let delta = rewards[t] + discounts[t] * next_value - values[t];
        next_advantage = delta + discounts[t] * gae_lambda * next_advantage;
        advantages[t] = next_advantage;
        next_value = values[t];
    }
}
