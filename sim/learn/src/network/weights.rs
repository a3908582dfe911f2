//! Weights as plain named columns: what a checkpoint holds and everything that runs a network starts from.
//!
//! Owns the names, the order and the check of what came from outside. Must not know files or dfdx. Rule: "Checkpoints".

use super::Shape;

/// One named tensor, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Such as `fc1.weight`.
    pub name: String,
    /// Such as `[128, 70]`: outputs, then inputs, as PyTorch keeps a linear layer.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub values: Vec<f32>,
}

/// All weights of a network: `weight` and `bias` of `fc1`, `fc2`, `policy` and `value`, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// In the order of [`Weights::names`].
    pub columns: Vec<Column>,
}

/// Why columns are no weights of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// A column is not there.
    #[error("`{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A column this network does not have.
    #[error("`{name}` is not a weight of this network")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A column of another shape.
    #[error("`{name}` has the shape {found:?}; this network needs {wanted:?}")]
    Shape {
        /// Its name.
        name: String,
        /// What it has.
        found: Vec<usize>,
        /// What it should have.
        wanted: Vec<usize>,
    },
    /// The values do not fill the shape.
    #[error("`{name}` has {found} values; its shape needs {wanted}")]
    Length {
        /// Its name.
        name: String,
        /// What it has.
        found: usize,
        /// What it should have.
        wanted: usize,
    },
    /// A value is infinite or not a number.
    #[error("`{name}` holds {value} at place {place}; every weight is a finite number")]
    NotFinite {
        /// Its name.
        name: String,
        /// Which value of the column.
        place: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A value is below zero that cannot be.
    #[error("`{name}` holds {value} at place {place}; it cannot be below zero")]
    Negative {
        /// Its name.
        name: String,
        /// Which value of the column.
        place: usize,
        /// What it holds.
        value: String,
    },
}

impl Weights {
    /// Names and shapes of a network's columns, in their order.
    pub fn names(shape: &Shape) -> Vec<(String, Vec<usize>)> {
        let layers = shape.layers().into_iter();
        layers
            .flat_map(|(name, inputs, outputs)| {
                [(format!("{name}.weight"), vec![outputs, inputs]), (format!("{name}.bias"), vec![outputs])]
            })
            .collect()
    }

    /// The weights of a network of this shape, all zero.
    pub fn zeros(shape: &Shape) -> Self {
        let columns = Self::names(shape).into_iter();
        let zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
        Self { columns: columns.map(|(name, shape)| Column { values: zeros(&shape), name, shape }).collect() }
    }

    /// The weights of a network of this shape among `columns`, in whatever order they come.
    ///
    /// # Errors
    /// By name: a column that is missing, unknown, of another shape or length, or holds what is not finite.
    pub fn read(shape: &Shape, mut columns: Vec<Column>) -> Result<Self, WeightsError> {
        let mut found = Vec::new();
        for (name, wanted) in Self::names(shape) {
            let Some(place) = columns.iter().position(|column| column.name == name) else {
                return Err(WeightsError::Missing { name });
            };
            let column = columns.swap_remove(place);
            if column.shape != wanted {
                return Err(WeightsError::Shape { name, found: column.shape, wanted });
            }
            found.push(column);
        }
        if let Some(column) = columns.into_iter().next() {
            return Err(WeightsError::Unknown { name: column.name });
        }
        let weights = Self { columns: found };
        weights.check(shape)?;
        Ok(weights)
    }

    /// That these are the weights of a network of this shape, every value finite.
    ///
    /// # Errors
    /// By the name of the first column at fault.
    pub fn check(&self, shape: &Shape) -> Result<(), WeightsError> {
        let names = Self::names(shape);
        for (place, (name, wanted)) in names.iter().enumerate() {
            let Some(column) = self.columns.get(place).filter(|column| column.name == *name) else {
                return Err(WeightsError::Missing { name: name.clone() });
            };
            if column.shape != *wanted {
                let (name, found) = (name.clone(), column.shape.clone());
                return Err(WeightsError::Shape { name, found, wanted: wanted.clone() });
            }
            column.check()?;
        }
        match self.columns.get(names.len()) {
            Some(column) => Err(WeightsError::Unknown { name: column.name.clone() }),
            None => Ok(()),
        }
    }

    /// The shape these weights say they have; `None` when the layers do not fit each other.
    pub fn shape(&self) -> Option<Shape> {
        let of = |name: &str| self.columns.iter().find(|column| column.name == name)?.shape.get(..2);
        let (first, second, policy) = (of("fc1.weight")?, of("fc2.weight")?, of("policy.weight")?);
        let shape = Shape { observation: first[1], hidden: [first[0], second[0]], options: policy[0] };
        let fits = shape.options <= Shape::MOST_OPTIONS
            && Self::names(&shape).iter().all(|(name, wanted)| {
                self.columns.iter().any(|column| column.name == *name && column.shape == *wanted)
            });
        fits.then_some(shape)
    }

    /// The values of a column that every network has.
    pub(super) fn values(&self, name: &str) -> &[f32] {
        &self.column(name).expect("every network has the column").values
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Column {
    /// That the values fill the shape and every one of them is finite.
    ///
    /// # Errors
    /// By name.
    pub fn check(&self) -> Result<(), WeightsError> {
        let (found, wanted) = (self.values.len(), self.shape.iter().product());
        if found != wanted {
            return Err(WeightsError::Length { name: self.name.clone(), found, wanted });
        }
        match self.values.iter().position(|value| !value.is_finite()) {
            Some(place) => {
                Err(WeightsError::NotFinite { name: self.name.clone(), place, value: self.values[place].to_string() })
            }
            None => Ok(()),
        }
    }
}
