//! Where labels go, so that none covers another one, a point or a line.

/// A rectangle.
#[derive(Clone, Copy, Debug)]
pub struct Box {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Box {
    fn meets(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    fn holds(&self, other: &Self) -> bool {
        other.x >= self.x
            && other.y >= self.y
            && other.x + other.width <= self.x + self.width
            && other.y + other.height <= self.y + self.height
    }
}

/// A place on the page for a label of each width, near the mark of the same number: beside it if there is room, else a
/// little higher or lower.
pub fn place(marks: &[Box], widths: &[f64], page: &Box) -> Vec<Box> {
    let mut placed: Vec<Option<Box>> = vec![None; marks.len()];
    // Upper ones first, so that they are pushed apart in order.
    let mut order: Vec<usize> = (0..marks.len()).collect();
    order.sort_by(|a, b| marks[*a].y.total_cmp(&marks[*b].y));
    for index in order {
        let mark = &marks[index];
        let free = |label: &Box| {
            page.holds(label)
                && !marks.iter().any(|other| other.meets(label))
                && !placed.iter().flatten().any(|other| other.meets(label))
        };
        let tried = tries(mark, widths[index]);
        let label = tried
            .iter()
            .find(|label| free(label))
            .or_else(|| tried.first());
        placed[index] = label.copied();
    }
    placed.into_iter().flatten().collect()
}

fn tries(mark: &Box, width: f64) -> Vec<Box> {
    let middle = mark.y + mark.height / 2.0 - HEIGHT / 2.0;
    let right = mark.x + mark.width + GAP;
    let left = mark.x - GAP - width;
    let mut tries = Vec::new();
    for step in 0_u32..12 {
        let away = f64::from(step) * STEP;
        for y in [middle - away, middle + away] {
            for (x, near) in [
                (right, away < HEIGHT),
                (right + 14.0, true),
                (left, away < HEIGHT),
                (mark.x, true),
            ] {
                if near {
                    tries.push(Box {
                        x,
                        y,
                        width,
                        height: HEIGHT,
                    });
                }
            }
        }
    }
    tries
}

const HEIGHT: f64 = 17.0;
const GAP: f64 = 7.0;
const STEP: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_points_at_one_place_stand_apart() {
        let mark = Box {
            x: 100.0,
            y: 200.0,
            width: 13.0,
            height: 13.0,
        };
        let page = Box {
            x: 0.0,
            y: 0.0,
            width: 600.0,
            height: 400.0,
        };
        let marks = [mark; 5];
        let labels = place(&marks, &[150.0; 5], &page);
        for (index, label) in labels.iter().enumerate() {
            assert!(page.holds(label) && !label.meets(&mark), "{label:?}");
            for other in &labels[..index] {
                assert!(!label.meets(other), "{label:?} {other:?}");
            }
        }
    }
}
