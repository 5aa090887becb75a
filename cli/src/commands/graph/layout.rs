//! Where tasks stand in a drawing: in layers from left to right, with few crossings and short ways.
//!
//! The method of Sugiyama, Tagawa and Toda (1981): layers by longest path, long edges cut into
//! pieces, the order inside a layer by the means of the neighbours, then heights that are as near
//! to the neighbours' as the order and the distances allow (exactly, by isotonic regression).

/// How often all layers are put in order; more brings little.
const ORDER_SWEEPS: usize = 12;

/// How often all heights are adjusted.
const HEIGHT_SWEEPS: usize = 12;

/// Where everything stands. Layers and heights have units of their own: a height of 1 is one row.
pub(super) struct Layout {
    /// The layer of each task, from 0.
    pub(super) layer: Vec<usize>,
    /// The height of each task, from 0.
    pub(super) height: Vec<f64>,
    /// For each edge, the heights at which it passes the layers between its ends.
    pub(super) bends: Vec<Vec<f64>>,
    /// How many layers there are.
    pub(super) layers: usize,
}

/// What stands in a layer: a task, or a piece of an edge that passes through.
struct Grid {
    /// The layers, each with its inhabitants in order.
    rows: Vec<Vec<usize>>,
    /// The neighbours of every inhabitant in the layer before and after.
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    /// Which are tasks.
    tasks: usize,
}

/// Lays out tasks in topological order and the edges between them.
pub(super) fn lay_out(tasks: usize, edges: &[(usize, usize)]) -> Layout {
    let mut layer = vec![0; tasks];
    for &(from, to) in &sorted(edges) {
        layer[to] = layer[to].max(layer[from] + 1);
    }
    let layers = layer.iter().max().map_or(0, |last| last + 1);
    let mut grid = Grid {
        rows: vec![Vec::new(); layers],
        before: vec![Vec::new(); tasks],
        after: vec![Vec::new(); tasks],
        tasks,
    };
    for (task, &at) in layer.iter().enumerate() {
        grid.rows[at].push(task);
    }
    let pieces: Vec<Vec<usize>> =
        edges.iter().map(|&(from, to)| grid.cut(from, to, layer[from], layer[to])).collect();
    grid.order();
    let height = grid.heights();
    Layout {
        layer,
        bends: pieces.iter().map(|chain| chain.iter().map(|piece| height[*piece]).collect()).collect(),
        height: height[..tasks].to_vec(),
        layers,
    }
}

/// Edges by target: then every edge into a task stands before those out of it.
fn sorted(edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut edges = edges.to_vec();
    edges.sort_by_key(|&(from, to)| (to, from));
    edges
}

impl Grid {
    /// Cuts an edge into pieces of one layer each and returns those between its ends.
    fn cut(&mut self, from: usize, to: usize, first: usize, last: usize) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut previous = from;
        for layer in first + 1..last {
            let piece = self.before.len();
            self.before.push(Vec::new());
            self.after.push(Vec::new());
            self.rows[layer].push(piece);
            self.join(previous, piece);
            chain.push(piece);
            previous = piece;
        }
        self.join(previous, to);
        chain
    }

    fn join(&mut self, from: usize, to: usize) {
        self.after[from].push(to);
        self.before[to].push(from);
    }

    /// Orders every layer by the means of its neighbours' places, to and fro, and keeps the order
    /// with the fewest crossings.
    fn order(&mut self) {
        let mut best = self.rows.clone();
        let mut fewest = self.crossings();
        for sweep in 0..ORDER_SWEEPS {
            if fewest == 0 {
                break;
            }
            let forward = sweep % 2 == 0;
            let count = self.rows.len();
            for step in 1..count {
                let at = if forward { step } else { count - 1 - step };
                let place = self.places();
                let neighbours = if forward { &self.before } else { &self.after };
                let mut row = std::mem::take(&mut self.rows[at]);
                let mean = |one: &usize| {
                    let near = &neighbours[*one];
                    if near.is_empty() {
                        return place[*one] as f64;
                    }
                    near.iter().map(|other| place[*other] as f64).sum::<f64>() / near.len() as f64
                };
                let mut keyed: Vec<(f64, usize)> = row.iter().map(|one| (mean(one), *one)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                row.clear();
                row.extend(keyed.into_iter().map(|(_, one)| one));
                self.rows[at] = row;
            }
            let now = self.crossings();
            if now < fewest {
                fewest = now;
                best.clone_from(&self.rows);
            }
        }
        self.rows = best;
    }

    fn places(&self) -> Vec<usize> {
        let mut place = vec![0; self.before.len()];
        for row in &self.rows {
            for (at, one) in row.iter().enumerate() {
                place[*one] = at;
            }
        }
        place
    }

    /// How many pairs of edges cross, counted layer by layer as inversions.
    fn crossings(&self) -> u64 {
        let place = self.places();
        let mut crossings = 0;
        for row in self.rows.iter().skip(1) {
            let mut ends: Vec<(usize, usize)> = Vec::new();
            for one in row {
                ends.extend(self.before[*one].iter().map(|from| (place[*from], place[*one])));
            }
            ends.sort_unstable();
            // A Fenwick tree over the targets already passed.
            let mut passed = vec![0_u64; row.len() + 1];
            for (seen, &(_, to)) in ends.iter().enumerate() {
                let mut not_above = 0;
                let mut at = to + 1;
                while at > 0 {
                    not_above += passed[at];
                    at &= at - 1;
                }
                crossings += seen as u64 - not_above;
                let mut at = to + 1;
                while at < passed.len() {
                    passed[at] += 1;
                    at += at & at.wrapping_neg();
                }
            }
        }
        crossings
    }

    /// Heights near those of the neighbours, in the order of each layer, a row apart (half a row
    /// between pieces of edges).
    fn heights(&self) -> Vec<f64> {
        let mut height = vec![0.0; self.before.len()];
        for row in &self.rows {
            let mut at = 0.0;
            for pair in row.windows(2) {
                height[pair[0]] = at;
                at += self.distance(pair[0], pair[1]);
            }
            if let Some(last) = row.last() {
                height[*last] = at;
            }
        }
        for sweep in 0..HEIGHT_SWEEPS {
            let count = self.rows.len();
            for step in 0..count {
                let at = if sweep % 2 == 0 { step } else { count - 1 - step };
                self.settle(&self.rows[at], &mut height);
            }
        }
        let lowest = height.iter().copied().fold(f64::INFINITY, f64::min);
        for one in &mut height {
            *one -= lowest;
        }
        height
    }

    fn distance(&self, above: usize, below: usize) -> f64 {
        if above < self.tasks || below < self.tasks { 1.0 } else { 0.5 }
    }

    /// Moves a layer as near as it may come to what its neighbours want: the least squares under the
    /// distances, by pooling adjacent violators.
    fn settle(&self, row: &[usize], height: &mut [f64]) {
        let mut offsets = Vec::with_capacity(row.len());
        let mut offset = 0.0;
        for (at, one) in row.iter().enumerate() {
            if at > 0 {
                offset += self.distance(row[at - 1], *one);
            }
            offsets.push(offset);
        }
        // Pools of inhabitants that move as one: the sum of their wishes and their number.
        let mut pools: Vec<(f64, f64)> = Vec::with_capacity(row.len());
        for (one, offset) in row.iter().zip(&offsets) {
            let near = self.before[*one].iter().chain(&self.after[*one]);
            let (sum, count) =
                near.fold((0.0, 0.0), |(sum, count), other| (sum + height[*other], count + 1.0));
            let wish = if count > 0.0 { sum / count } else { height[*one] };
            let mut pool = (wish - offset, 1.0);
            while let Some(&(sum, count)) = pools.last()
                && sum / count > pool.0 / pool.1
            {
                pools.pop();
                pool = (pool.0 + sum, pool.1 + count);
            }
            pools.push(pool);
        }
        let mut members = row.iter().zip(&offsets);
        for (sum, count) in pools {
            for _ in 0..count as usize {
                if let Some((one, offset)) = members.next() {
                    height[*one] = sum / count + offset;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diamond_has_three_layers_and_a_straight_middle() {
        let layout = lay_out(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        assert_eq!(layout.layer, [0, 1, 1, 2]);
        // The sweeps come near, they do not solve: a twentieth of a row is not seen.
        assert!((layout.height[0] - layout.height[3]).abs() < 0.05);
        assert!((layout.height[0] * 2.0 - layout.height[1] - layout.height[2]).abs() < 0.05);
    }

    #[test]
    fn a_crossing_that_need_not_be_is_taken_out() {
        // 0 and 1 feed 3 and 2: in the order of the file the edges cross.
        let layout = lay_out(4, &[(0, 3), (1, 2)]);
        assert_eq!(layout.height[0] < layout.height[1], layout.height[3] < layout.height[2]);
    }

    #[test]
    fn a_long_edge_bends_at_every_layer_between_and_nothing_overlaps() {
        let layout = lay_out(4, &[(0, 1), (1, 2), (2, 3), (0, 3)]);
        assert_eq!(layout.bends[3].len(), 2);
        for (layer, bend) in layout.bends[3].iter().enumerate() {
            let task = layout.height[layer + 1];
            assert!((bend - task).abs() >= 1.0 - 1e-9, "{bend} {task}");
        }
    }

    #[test]
    fn no_tasks_need_no_room() {
        let layout = lay_out(0, &[]);
        assert_eq!(layout.layers, 0);
    }
}
