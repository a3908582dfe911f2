//! Generalized advantage estimation (Schulman and others 2016) with a discount per decision (semi-Markov).

/// Writes the advantages of one trajectory of decisions.
///
/// `rewards[t]` is the discounted sum of rewards between decisions `t` and `t + 1`. `discounts[t]` is γ^k for the k ticks
/// between them, and 0 where the episode terminated. `bootstrap` is the value of the state after the last decision; it is
/// not used after a termination. All slices have the same length.
pub fn gae(
    rewards: &[f32],
    values: &[f32],
    discounts: &[f32],
    bootstrap: f32,
    gae_lambda: f32,
    advantages: &mut [f32],
) {
    let count = rewards.len();
    assert!([values.len(), discounts.len(), advantages.len()] == [count; 3], "one entry per decision");
    let (mut next_value, mut next_advantage) = (bootstrap, 0.0);
    for t in (0..count).rev() {
        let delta = rewards[t] + discounts[t] * next_value - values[t];
        next_advantage = delta + discounts[t] * gae_lambda * next_advantage;
        advantages[t] = next_advantage;
        next_value = values[t];
    }
}
