//! Matrix products `C = A · B` with the widest vectors of the machine, and the epilogues of a layer.
//!
//! Every entry of `C` is summed over the inner dimension in order, so a row's result does not depend on the batch. `pulp`
//! selects the instruction set at run time.

// Code that runs under a selected instruction set must be inlined into it, or it is compiled without that set. Loops use
// indices because iterators are calls until they are inlined.
#![allow(clippy::inline_always, clippy::needless_range_loop)]

use std::sync::LazyLock;

use pulp::{Arch, Simd, WithSimd};

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Strips start at a cache line, because a vector across two lines costs two reads.
const CACHE_LINE: usize = 64;

/// Runs a loop with the widest vectors of the machine.
#[inline]
pub(crate) fn vectorized<R>(body: impl FnOnce() -> R) -> R {
    ARCH.dispatch(body)
}

/// The right side of a product, packed in strips as wide as the columns that are multiplied at a time.
#[derive(Clone, Debug)]
pub(crate) struct PackedMatrix {
    rows: usize,
    columns: usize,
    data: Vec<f32>,
    /// Offset of the first strip, which aligns it to a cache line.
    start: usize,
}

/// The left side of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lhs<'a> {
    /// Row-major.
    Rows(&'a [f32]),
    /// Row-major, with mostly zero entries that fill whole columns; these are skipped.
    Sparse(&'a [f32]),
    /// Column-major.
    Columns(&'a [f32]),
}

/// What happens to the sums.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Epilogue<'a> {
    /// Adds them to the output.
    Add,
    /// Writes them plus a bias per column.
    Bias(&'a [f32]),
    /// The same, followed by ReLU.
    BiasRelu(&'a [f32]),
}

impl PackedMatrix {
    /// Packs a row-major matrix of `rows` × `columns`.
    pub(crate) fn of(source: &[f32], rows: usize, columns: usize) -> Self {
        assert_eq!(source.len(), rows * columns, "a whole matrix");
        ARCH.dispatch(Pack { source, rows, columns, transposed: false })
    }

    /// Packs a column-major matrix of `rows` × `columns`.
    pub(crate) fn of_transposed(source: &[f32], rows: usize, columns: usize) -> Self {
        assert_eq!(source.len(), rows * columns, "a whole matrix");
        ARCH.dispatch(Pack { source, rows, columns, transposed: true })
    }
}

/// Multiplies: `lhs` has as many columns as `rhs` has rows; `out` has the rows of `lhs` and the columns of `rhs`.
pub(crate) fn multiply(lhs: Lhs<'_>, rhs: &PackedMatrix, out: &mut [f32], epilogue: Epilogue<'_>) {
    let (Lhs::Rows(values) | Lhs::Sparse(values) | Lhs::Columns(values)) = lhs;
    let rows = out.len() / rhs.columns.max(1);
    assert_eq!(out.len(), rows * rhs.columns, "whole rows");
    assert_eq!(values.len(), rows * rhs.rows, "the inner dimensions agree");
    if let Epilogue::Bias(bias) | Epilogue::BiasRelu(bias) = epilogue {
        assert_eq!(bias.len(), rhs.columns, "one bias per column");
    }
    ARCH.dispatch(Multiply { lhs, rhs, out, rows, epilogue });
}

/// Rows of a tile.
const TILE_ROWS: usize = 6;

/// Vectors in a row of a tile, so that its sums take 24 of 32 registers, or 12 of 16.
const fn tile_vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

/// First column and vectors of each strip.
fn strips<S: Simd>(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let most = tile_vectors::<S>();
    (0..columns)
        .step_by(most * S::F32_LANES)
        .map(move |first| (first, (columns - first).div_ceil(S::F32_LANES).min(most)))
}

struct Pack<'a> {
    source: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl WithSimd for Pack<'_> {
    type Output = PackedMatrix;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> PackedMatrix {
        let Self { source, rows, columns, transposed } = self;
        let spare = CACHE_LINE / size_of::<f32>();
        let mut data = Vec::<f32>::with_capacity(rows * columns.next_multiple_of(S::F32_LANES) + spare);
        let start = data.as_ptr().align_offset(CACHE_LINE).min(spare);
        data.resize(start, 0.0);
        for (first, vectors) in strips::<S>(columns) {
            let width = vectors * S::F32_LANES;
            let filled = width.min(columns - first);
            for row in 0..rows {
                if transposed {
                    data.extend((first..first + filled).map(|column| source[column * rows + row]));
                } else {
                    data.extend_from_slice(&source[row * columns + first..][..filled]);
                }
                data.extend(std::iter::repeat_n(0.0, width - filled));
            }
        }
        PackedMatrix { rows, columns, data, start }
    }
}

struct Multiply<'a> {
    lhs: Lhs<'a>,
    rhs: &'a PackedMatrix,
    out: &'a mut [f32],
    rows: usize,
    epilogue: Epilogue<'a>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut rest = &self.rhs.data[self.rhs.start..];
        for (first, vectors) in strips::<S>(self.rhs.columns) {
            let (strip, after) = rest.split_at(self.rhs.rows * vectors * S::F32_LANES);
            rest = after;
            let (strip, _) = S::as_simd_f32s(strip);
            let place = StripPosition { first, rows: self.rows, columns: self.rhs.columns };
            match vectors {
                4 => multiply_strip::<S, 4>(simd, self.lhs, strip, self.out, place, self.epilogue),
                3 => multiply_strip::<S, 3>(simd, self.lhs, strip, self.out, place, self.epilogue),
                2 => multiply_strip::<S, 2>(simd, self.lhs, strip, self.out, place, self.epilogue),
                _ => multiply_strip::<S, 1>(simd, self.lhs, strip, self.out, place, self.epilogue),
            }
        }
    }
}

/// Position of a strip in the output.
#[derive(Clone, Copy)]
struct StripPosition {
    first: usize,
    rows: usize,
    columns: usize,
}

/// Computes one strip of the output, tile by tile.
#[inline(always)]
fn multiply_strip<S: Simd, const VECTORS: usize>(
    simd: S,
    lhs: Lhs<'_>,
    strip: &[S::f32s],
    out: &mut [f32],
    place: StripPosition,
    epilogue: Epilogue<'_>,
) {
    let (strip, _) = strip.as_chunks::<VECTORS>();
    let mut row = 0;
    while row < place.rows {
        let rows = (place.rows - row).min(TILE_ROWS);
        match rows {
            6 => tile::<S, VECTORS, 6>(simd, lhs, strip, out, place, row, epilogue),
            5 => tile::<S, VECTORS, 5>(simd, lhs, strip, out, place, row, epilogue),
            4 => tile::<S, VECTORS, 4>(simd, lhs, strip, out, place, row, epilogue),
            3 => tile::<S, VECTORS, 3>(simd, lhs, strip, out, place, row, epilogue),
            2 => tile::<S, VECTORS, 2>(simd, lhs, strip, out, place, row, epilogue),
            _ => tile::<S, VECTORS, 1>(simd, lhs, strip, out, place, row, epilogue),
        }
        row += rows;
    }
}

/// Computes `ROWS` × `VECTORS` of the output in registers.
#[inline(always)]
fn tile<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    lhs: Lhs<'_>,
    strip: &[[S::f32s; VECTORS]],
    out: &mut [f32],
    place: StripPosition,
    row: usize,
    epilogue: Epilogue<'_>,
) {
    let inner = strip.len();
    let zero = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    // Each arm has its own sums: shared ones are spilled to memory at every step, and the stack's position then decides
    // whether the writes conflict with the reads.
    let sums = match lhs {
        Lhs::Rows(values) => {
            let lines = tile_rows::<ROWS>(values, row, inner);
            let mut sums = zero;
            for (at, vectors) in strip.iter().enumerate() {
                accumulate::<S, VECTORS, ROWS>(simd, &mut sums, column_entries(&lines, at), vectors);
            }
            sums
        }
        Lhs::Sparse(values) => {
            let lines = tile_rows::<ROWS>(values, row, inner);
            let mut sums = zero;
            for (at, vectors) in strip.iter().enumerate() {
                let values = column_entries(&lines, at);
                let mut any = false;
                for line in 0..ROWS {
                    any |= values[line] != 0.0;
                }
                if any {
                    accumulate::<S, VECTORS, ROWS>(simd, &mut sums, values, vectors);
                }
            }
            sums
        }
        Lhs::Columns(values) => {
            let mut sums = zero;
            for (line, vectors) in values.chunks_exact(place.rows).zip(strip) {
                let (values, _) = line[row..].as_chunks::<ROWS>();
                accumulate::<S, VECTORS, ROWS>(simd, &mut sums, values[0], vectors);
            }
            sums
        }
    };
    store::<S, VECTORS, ROWS>(simd, &sums, out, place, row, epilogue);
}

/// The rows of a tile.
#[inline(always)]
fn tile_rows<const ROWS: usize>(values: &[f32], row: usize, inner: usize) -> [&[f32]; ROWS] {
    let mut lines: [&[f32]; ROWS] = [&[]; ROWS];
    for line in 0..ROWS {
        lines[line] = &values[(row + line) * inner..][..inner];
    }
    lines
}

/// One entry of each row.
#[inline(always)]
fn column_entries<const ROWS: usize>(lines: &[&[f32]; ROWS], at: usize) -> [f32; ROWS] {
    let mut values = [0.0; ROWS];
    for line in 0..ROWS {
        values[line] = lines[line][at];
    }
    values
}

/// One step of the inner dimension. Not a closure, because that would be compiled without the selected instruction set.
#[inline(always)]
fn accumulate<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    sums: &mut [[S::f32s; VECTORS]; ROWS],
    values: [f32; ROWS],
    vectors: &[S::f32s; VECTORS],
) {
    for row in 0..ROWS {
        let value = simd.splat_f32s(values[row]);
        for vector in 0..VECTORS {
            sums[row][vector] = simd.mul_add_e_f32s(value, vectors[vector], sums[row][vector]);
        }
    }
}

/// Writes a tile into the output.
#[inline(always)]
fn store<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    sums: &[[S::f32s; VECTORS]; ROWS],
    out: &mut [f32],
    place: StripPosition,
    row: usize,
    epilogue: Epilogue<'_>,
) {
    for (line, sums) in sums.iter().enumerate() {
        let out = &mut out[(row + line) * place.columns..][..place.columns];
        for (vector, sum) in sums.iter().enumerate() {
            let first = place.first + vector * S::F32_LANES;
            let last = (first + S::F32_LANES).min(place.columns);
            let sum = match epilogue {
                Epilogue::Add => simd.add_f32s(*sum, load(simd, &out[first..last])),
                Epilogue::Bias(bias) => simd.add_f32s(*sum, load(simd, &bias[first..last])),
                Epilogue::BiasRelu(bias) => {
                    let sum = simd.add_f32s(*sum, load(simd, &bias[first..last]));
                    simd.max_f32s(simd.splat_f32s(0.0), sum)
                }
            };
            match S::as_mut_simd_f32s(&mut out[first..last]) {
                ([whole], []) => *whole = sum,
                (_, part) => simd.partial_store_f32s(part, sum),
            }
        }
    }
}

/// Loads a vector, or the part of one that exists.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values) {
        ([whole], []) => *whole,
        (_, part) => simd.partial_load_f32s(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    fn matrix(prng: &mut Prng, length: usize) -> Vec<f32> {
        (0..length).map(|_| prng.normal() as f32).collect()
    }

    fn naive(lhs: &[f32], rhs: &[f32], [rows, inner, columns]: [usize; 3]) -> Vec<f32> {
        let entry = |row: usize, column: usize| {
            (0..inner).map(|at| f64::from(lhs[row * inner + at]) * f64::from(rhs[at * columns + column])).sum::<f64>()
        };
        (0..rows * columns).map(|place| entry(place / columns, place % columns) as f32).collect()
    }

    fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|place| values[place % rows * columns + place / rows]).collect()
    }

    /// The strips without the alignment padding.
    fn laid(panels: &PackedMatrix) -> &[f32] {
        &panels.data[panels.start..]
    }

    fn close(found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (place, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            assert!((found - wanted).abs() <= 1e-4 * (1.0 + wanted.abs()), "{place}: {found}, expected {wanted}");
        }
    }

    const SIZES: &[[usize; 3]] = &[
        [1, 1, 1],
        [1, 7, 10],
        [5, 3, 17],
        [6, 128, 128],
        [13, 70, 128],
        [128, 128, 10],
        [64, 432, 64],
        [9, 128, 197],
    ];

    #[test]
    fn products_match_a_naive_loop() {
        let mut prng = Prng::new([1, 1, 1]);
        for size in SIZES {
            let [rows, inner, columns] = *size;
            let (lhs, rhs) = (matrix(&mut prng, rows * inner), matrix(&mut prng, inner * columns));
            let wanted = naive(&lhs, &rhs, *size);
            let panels = PackedMatrix::of(&rhs, inner, columns);
            let also = PackedMatrix::of_transposed(&transposed(&rhs, inner, columns), inner, columns);
            assert_eq!(laid(&panels), laid(&also));
            let mut out = vec![1.0; rows * columns];
            multiply(Lhs::Rows(&lhs), &panels, &mut out, Epilogue::Bias(&vec![0.0; columns]));
            close(&out, &wanted);
            let mut sparse = vec![1.0; rows * columns];
            multiply(Lhs::Sparse(&lhs), &panels, &mut sparse, Epilogue::Bias(&vec![0.0; columns]));
            assert_eq!(out, sparse);
            multiply(Lhs::Columns(&transposed(&lhs, rows, inner)), &panels, &mut sparse, Epilogue::Add);
            close(&sparse, &wanted.iter().map(|value| 2.0 * value).collect::<Vec<_>>());
            let bias = matrix(&mut prng, columns);
            multiply(Lhs::Rows(&lhs), &panels, &mut out, Epilogue::BiasRelu(&bias));
            let relu = wanted.iter().enumerate().map(|(place, value)| (value + bias[place % columns]).max(0.0));
            close(&out, &relu.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_row_does_not_depend_on_other_rows() {
        let mut prng = Prng::new([2, 2, 2]);
        let [rows, inner, columns] = [23, 70, 137];
        let (lhs, rhs) = (matrix(&mut prng, rows * inner), matrix(&mut prng, inner * columns));
        let panels = PackedMatrix::of(&rhs, inner, columns);
        let mut all = vec![0.0; rows * columns];
        multiply(Lhs::Rows(&lhs), &panels, &mut all, Epilogue::Add);
        for row in 0..rows {
            let mut alone = vec![0.0; columns];
            multiply(Lhs::Rows(&lhs[row * inner..][..inner]), &panels, &mut alone, Epilogue::Add);
            assert_eq!(alone, all[row * columns..][..columns]);
        }
    }

    #[test]
    fn empty_products_are_allowed() {
        let panels = PackedMatrix::of(&[], 0, 5);
        let mut out = vec![3.0; 10];
        multiply(Lhs::Rows(&[]), &panels, &mut out, Epilogue::Add);
        assert_eq!(out, [3.0; 10]);
        let panels = PackedMatrix::of(&[1.0; 20], 4, 5);
        multiply(Lhs::Columns(&[]), &panels, &mut [], Epilogue::Add);
    }
}
