//! The generator is deterministic, and its data is what it says.

use xxhash_rust::xxh3::xxh3_64;

use super::*;

fn json(settings: &Settings, rows: usize) -> Vec<u8> {
    let (mut generator, mut out) = (Generator::new(settings), Vec::new());
    (0..rows).for_each(|_| generator.next_json(&mut out));
    out
}

fn rows(settings: &Settings, rows: usize) -> Vec<Transaction> {
    let mut generator = Generator::new(settings);
    (0..rows).map(|_| generator.next_transaction()).collect()
}

fn counts(numbers: impl Iterator<Item = u32>, n: u32) -> Vec<u32> {
    let mut counts = vec![0; n as usize];
    numbers.for_each(|number| counts[number as usize] += 1);
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

#[test]
fn the_first_rows_are_the_same_for_ever() {
    let out = json(&Settings::default(), 10_000);
    let first = out.split(|&b| b == b'\n').next().expect("a line");
    assert_eq!(
        std::str::from_utf8(first).expect("text"),
        r#"{"transaction_id":0,"timestamp":1735689639031,"user_id":"customer_3681","terminal_id":"terminal_465","amount":103.07,"fraud":0}"#
    );
    assert_eq!(xxh3_64(&out), 0x1c9d_eb08_3e35_5ccf);
}

#[test]
fn the_seed_decides_everything() {
    let seed = |seed| json(&Settings { seed, ..Settings::default() }, 1_000);
    assert_eq!(seed(7), seed(7));
    assert_ne!(seed(7), seed(8));
}

#[test]
fn rows_come_in_time_order_and_fill_their_days() {
    let settings = Settings { rows: 50_000, days: 10, ..Settings::default() };
    let rows = rows(&settings, 50_000);
    assert!(rows.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp && pair[0].id + 1 == pair[1].id));
    let days = (rows[49_999].timestamp - settings.start_ms) as f64 / DAY_MS;
    assert!((9.5..10.5).contains(&days), "{days}");
    // Noon is busier than the night.
    let hour = |h: i64| rows.iter().filter(|r| (r.timestamp - settings.start_ms) / 3_600_000 % 24 == h).count();
    assert!(hour(12) > 5 * hour(3), "{} at noon, {} at three", hour(12), hour(3));
}

#[test]
fn a_few_rows_spread_over_many_days() {
    let rows = rows(&Settings { rows: 10, days: 100, ..Settings::default() }, 10);
    assert!(rows.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
}

#[test]
fn about_half_a_percent_is_fraud_and_every_scenario_has_its_share() {
    for seed in [1, 2, 3] {
        let rows = rows(&Settings { seed, ..Settings::default() }, 1_000_000);
        let of = |scenario| rows.iter().filter(|row| row.scenario == scenario).count();
        let (large, terminal, user) = (of(1), of(2), of(3));
        let share = (large + terminal + user) as f64 / 1e6;
        assert!((0.003..0.008).contains(&share), "{share}");
        assert!(large >= 100 && terminal >= 1_000 && user >= 1_000, "{large} {terminal} {user}");
    }
}

#[test]
fn an_amount_over_the_threshold_is_always_fraud() {
    let rows = rows(&Settings::default(), 100_000);
    assert!(rows.iter().filter(|row| row.cents > 22_000).count() > 10);
    assert!(rows.iter().all(|row| row.cents >= 1 && (row.cents <= 22_000 || row.scenario > 0)));
}

#[test]
fn all_transactions_of_a_compromised_terminal_are_fraud() {
    let rows = rows(&Settings::default(), 300_000);
    // From its first fraud on, a terminal is compromised for the rest of that day.
    let mut since: std::collections::HashMap<u32, i64> = std::collections::HashMap::new();
    let day = |row: &Transaction| row.timestamp.div_euclid(DAY_MS as i64);
    let mut followers = 0;
    for row in &rows {
        if row.scenario == 2 {
            since.insert(row.terminal, day(row));
        } else if since.get(&row.terminal) == Some(&day(row)) {
            panic!("{row:?} is not fraud");
        }
        followers += usize::from(row.scenario == 2 && since.contains_key(&row.terminal));
    }
    assert!(followers > 100);
}

#[test]
fn users_follow_the_zipf_law() {
    let uniform = counts(rows(&Settings { zipf: 0.0, ..Settings::default() }, 500_000).iter().map(|r| r.user), 5_000);
    assert!(uniform[0] < 2 * uniform[2_500], "{} and {}", uniform[0], uniform[2_500]);

    let settings = Settings { zipf: 1.1, users: 100_000, ..Settings::default() };
    let skewed = counts(rows(&settings, 500_000).iter().map(|r| r.user), 100_000);
    let (first, tenth) = (f64::from(skewed[0]), f64::from(skewed[9]));
    assert!((first / tenth / 10f64.powf(1.1) - 1.0).abs() < 0.1, "{first} and {tenth}");
}

#[test]
fn a_user_pays_at_terminals_nearby_and_some_terminals_are_busier() {
    let rows = rows(&Settings::default(), 200_000);
    let user = rows[0].user;
    let visited: std::collections::HashSet<u32> =
        rows.iter().filter(|row| row.user == user).map(|row| row.terminal).collect();
    assert!(visited.len() as u64 <= REACH, "{}", visited.len());
    let busy = counts(rows.iter().map(|row| row.terminal), 10_000);
    assert!(busy[100] > 5 * busy[5_000].max(1), "{} and {}", busy[100], busy[5_000]);
}

#[test]
fn csv_holds_the_same_rows() {
    let (mut csv, mut plain) = (Generator::new(&Settings::default()), Generator::new(&Settings::default()));
    for _ in 0..100 {
        let mut line = Vec::new();
        csv.next_csv(&mut line);
        let row = plain.next_transaction();
        let want = format!(
            "{},{},customer_{},terminal_{},{}.{:02},{}\n",
            row.id,
            row.timestamp,
            row.user,
            row.terminal,
            row.cents / 100,
            row.cents % 100,
            u8::from(row.scenario > 0)
        );
        assert_eq!(String::from_utf8(line).expect("text"), want);
    }
}

#[test]
fn settings_of_zero_and_times_before_1970_do_no_harm() {
    let settings =
        Settings { seed: 0, rows: 0, days: 0, users: 0, terminals: 0, zipf: f64::NAN, start_ms: -86_400_000 };
    let out = json(&settings, 3);
    assert!(String::from_utf8(out).expect("text").starts_with(r#"{"transaction_id":0,"timestamp":-"#));
}

#[test]
fn fewer_terminals_than_the_reach_are_enough() {
    let settings = Settings { terminals: 3, ..Settings::default() };
    assert!(rows(&settings, 1_000).iter().all(|row| row.terminal < 3));
}
