//! A small web that is made up: pages that link to each other.

/// How much of its rank a page hands on.
pub const DAMPING: f64 = 0.85;

/// The links between the pages `1..=pages`, always the same; every page has one at least.
pub fn links(pages: i64) -> Vec<(i64, i64)> {
    let mut links = Vec::new();
    for page in 1..=pages {
        for link in 0..1 + page % 4 {
            let to = (page * 7 + link * link * 3 + 1) % pages + 1;
            if !links.contains(&(page, to)) {
                links.push((page, to));
            }
        }
    }
    links
}

/// The ranks after some rounds, computed in a loop.
pub fn ranks(pages: i64, rounds: u32) -> Vec<f64> {
    let (links, count) = (links(pages), pages as f64);
    let mut ranks = vec![1.0 / count; pages as usize + 1];
    for _ in 0..rounds {
        let mut next = vec![(1.0 - DAMPING) / count; pages as usize + 1];
        for (page, to) in &links {
            let out = links.iter().filter(|(from, _)| from == page).count() as f64;
            next[*to as usize] += DAMPING * ranks[*page as usize] / out;
        }
        ranks = next;
    }
    ranks
}
