//! Lists whose selection follows the selected item's id, not its row, and panes that are such lists.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::export::{ChartData, Export, Record};
use super::keymap::Action;
use super::layouts::Division;
use super::pane::{Context, KeyHint, Pane, Reaction, draw_scroll_position, pane_block};
use super::table::Table;
use super::text_drawing::draw_text;
use townlet_wire::service::Focus;

/// Why another item stands in the place of the one that was drawn as the selected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// It is gone.
    Gone,
    /// It has changed, so that the same filter hides it.
    Hidden,
}

impl Replaced {
    /// The words that follow the item.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Gone => "is gone",
            Self::Hidden => "no longer matches the filter",
        }
    }
}

/// The rows of a list by their ids.
pub(crate) trait Rows {
    fn count(&self) -> usize;

    fn id(&self, row: usize) -> Option<String>;

    fn is(&self, row: usize, id: &str) -> bool;
}

impl<T: AsRef<[String]> + ?Sized> Rows for T {
    fn count(&self) -> usize {
        self.as_ref().len()
    }

    fn id(&self, row: usize) -> Option<String> {
        self.as_ref().get(row).cloned()
    }

    fn is(&self, row: usize, id: &str) -> bool {
        self.as_ref().get(row).is_some_and(|other| other == id)
    }
}

/// The selection and scroll offset of a list with one line per row, and where it was last drawn. Until the operator moves
/// the selection, it is always the first row.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    id: Option<String>,
    moved: bool,
    /// Why another item stands in the place of the selected one, if one does.
    replaced: Option<Replaced>,
    row: usize,
    offset: usize,
    rows: Rect,
}

impl List {
    /// Updates to these rows and draws nothing yet: `area` is where the list will be. Returns the selected row and the first
    /// visible row. When the selected id is gone, the row in its place is selected.
    pub(crate) fn update(&mut self, rows: &(impl Rows + ?Sized), area: Rect) -> (usize, usize) {
        self.rows = area;
        self.replaced = self.replaced(rows, |_| false);
        self.row = if self.moved { self.selected(rows) } else { 0 };
        self.id = rows.id(self.row);
        let height = usize::from(area.height).max(1);
        self.offset = self.offset.min(self.row).max((self.row + 1).saturating_sub(height));
        self.offset = self.offset.min(rows.count().saturating_sub(height));
        (self.row, self.offset)
    }

    /// Row of the selected id, which is looked for around the row that it had.
    fn find(&self, rows: &(impl Rows + ?Sized)) -> Option<usize> {
        let (id, count) = (self.id.as_deref()?, rows.count());
        let around =
            (0..count.max(self.row)).flat_map(|far| [self.row.checked_add(far), self.row.checked_sub(far + 1)]);
        around.flatten().find(|row| *row < count && rows.is(*row, id))
    }

    /// Why another item stands in the place of the selected one, among these rows or when they were last drawn. `exists` says
    /// whether an item that is not among them is there all the same.
    fn replaced(&self, rows: &(impl Rows + ?Sized), exists: impl FnOnce(&str) -> bool) -> Option<Replaced> {
        let reason = |id: &str| if exists(id) { Replaced::Hidden } else { Replaced::Gone };
        self.replaced.or_else(|| self.id.as_deref().filter(|_| self.find(rows).is_none()).map(reason))
    }

    /// Selects what is in the place of the selected item, as after the operator has changed what is listed.
    fn select_in_place(&mut self, rows: &(impl Rows + ?Sized)) {
        self.row = self.selected(rows);
        (self.id, self.replaced) = (rows.id(self.row), None);
    }

    /// Row of the selected id, or what is in its place.
    pub(crate) fn selected(&self, rows: &(impl Rows + ?Sized)) -> usize {
        self.find(rows).unwrap_or(self.row).min(rows.count().saturating_sub(1))
    }

    /// Id of the selected row as of the last [`List::update`].
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Moves by a navigation action; a page is what was visible.
    pub(crate) fn act(&mut self, action: Action, rows: &(impl Rows + ?Sized)) -> Reaction {
        let last = rows.count().saturating_sub(1);
        let page = usize::from(self.rows.height).max(1);
        let row = self.selected(rows);
        let to = match action {
            Action::Up => row.saturating_sub(1),
            Action::Down => (row + 1).min(last),
            Action::PageUp => row.saturating_sub(page),
            Action::PageDown => (row + page).min(last),
            Action::First => 0,
            Action::Last => last,
            _ => row,
        };
        self.select(rows, to);
        // `First` makes the selection stay at the first row again.
        self.moved &= action != Action::First;
        if to == row { Reaction::None } else { Reaction::Redraw }
    }

    /// Selects a row, if it exists.
    pub(crate) fn select(&mut self, rows: &(impl Rows + ?Sized), row: usize) -> Reaction {
        if let Some(id) = rows.id(row) {
            self.id = Some(id);
            (self.row, self.moved, self.replaced) = (row, true, None);
        }
        Reaction::Redraw
    }

    /// Selects the row at these screen coordinates.
    pub(crate) fn click(&mut self, at: Position, rows: &(impl Rows + ?Sized)) -> Reaction {
        if !self.rows.contains(at) {
            return Reaction::None;
        }
        self.select(rows, self.offset + usize::from(at.y - self.rows.y))
    }

    /// The rows that were last drawn, and the selected one.
    fn drawn(&self) -> impl Iterator<Item = usize> {
        let height = if self.rows.width == 0 { 0 } else { usize::from(self.rows.height) };
        (self.offset..self.offset + height).chain([self.row])
    }

    /// Disables clicks while the list is not drawn. Keeps the scroll offset.
    pub(crate) const fn hide(&mut self) {
        self.rows.width = 0;
    }
}

/// The items of a pane by their ids.
struct ItemRows<'l, T> {
    items: &'l [T],
    id: fn(&T) -> String,
    is: fn(&T, &str) -> bool,
}

impl<'l, T> ItemRows<'l, T> {
    fn new<'a, C: ListContent<Item<'a> = T>>(items: &'l [T]) -> Self {
        Self { items, id: |item| C::id(item), is: |item, id| C::is(item, id) }
    }
}

impl<T> Rows for ItemRows<'_, T> {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn id(&self, row: usize) -> Option<String> {
        self.items.get(row).map(self.id)
    }

    fn is(&self, row: usize, id: &str) -> bool {
        self.items.get(row).is_some_and(|item| (self.is)(item, id))
    }
}

/// The items of a [`ListPane`] with its selection.
pub(crate) struct ListView<'l, T> {
    /// The items that pass the filter.
    pub(crate) items: &'l [T],
    list: &'l mut List,
    rows: ItemRows<'l, T>,
    /// Why another item stands in the place of the selected one, if one does.
    pub(crate) replaced: Option<Replaced>,
    /// Area of the pane with its border.
    pub(crate) pane: Rect,
}

impl<'l, T> ListView<'l, T> {
    /// The items of `content`. `filter` is the one of the operator's last sight or key: when it has changed since, what it hides is
    /// no surprise.
    fn new<'a, C: ListContent<Item<'a> = T>>(
        (content, items): (&C, &'l [T]),
        (list, filter): (&'l mut List, &mut String),
        pane: Rect,
        cx: &Context<'a>,
    ) -> Self {
        let rows = ItemRows::new::<C>(items);
        if filter != cx.filter {
            cx.filter.clone_into(filter);
            list.select_in_place(&rows);
        }
        let exists = |id: &str| content.items(&Context { filter: "", ..*cx }).iter().any(|item| C::is(item, id));
        let replaced = list.replaced(&rows, exists);
        Self { items, list, rows, replaced, pane }
    }

    /// Index of the selected item.
    pub(crate) fn at(&self) -> usize {
        self.list.selected(&self.rows)
    }

    pub(crate) fn selected(&self) -> Option<&T> {
        self.items.get(self.at())
    }

    pub(crate) fn select(&mut self, index: usize) -> Reaction {
        self.list.select(&self.rows, index)
    }

    /// Makes the selection stay with its item, also before the operator moves it.
    pub(crate) fn pin(&mut self) {
        self.select(self.at());
        self.list.replaced = self.replaced;
    }

    /// Moves by a navigation action.
    pub(crate) fn act(&mut self, action: Action) -> Reaction {
        self.list.act(action, &self.rows)
    }

    /// Draws the visible items into `area`, and the scroll position on the border. `row` also gets whether the item is
    /// selected.
    pub(crate) fn draw<'a>(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        cx: &Context<'_>,
        row: impl Fn(&T, bool) -> Line<'a>,
    ) {
        self.draw_indexed(frame, area, cx, |_, item, _, selected| row(item, selected));
    }

    /// [`ListView::draw`] with rows that also get their index and that of the first visible item.
    pub(crate) fn draw_indexed<'a>(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        cx: &Context<'_>,
        row: impl Fn(usize, &T, usize, bool) -> Line<'a>,
    ) {
        self.list.replaced = self.replaced;
        let (at, first) = self.list.update(&self.rows, area);
        draw_scroll_position(frame, self.pane, (first, area.height, self.items.len()), cx.theme);
        let seen = self.items.iter().enumerate().skip(first).take(area.height.into());
        let lines: Vec<Line<'_>> = seen.map(|(index, item)| row(index, item, first, index == at)).collect();
        draw_text(frame, area, lines);
    }
}

/// What a [`ListPane`] lists and does.
pub(crate) trait ListContent {
    /// An item, borrowed from the snapshot.
    type Item<'a>;

    /// Name of the pane.
    const TITLE: &'static str;

    /// The items that pass the filter, in order.
    fn items<'a>(&self, cx: &Context<'a>) -> Vec<Self::Item<'a>>;

    /// Identifies an item when the list changes.
    fn id(item: &Self::Item<'_>) -> String;

    /// Whether an item has this id. Lists of thousands compare without a copy.
    fn is(item: &Self::Item<'_>, id: &str) -> bool {
        Self::id(item) == id
    }

    /// Draws inside the border.
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, view: ListView<'_, Self::Item<'_>>, cx: &Context<'_>);

    /// Whether an action is about the selected item; otherwise it may ask something while the list moves on.
    fn is_about_item(_action: Action) -> bool {
        true
    }

    /// Handles an action; `None` leaves it to the list, which moves the selection.
    fn act(&mut self, action: Action, view: &mut ListView<'_, Self::Item<'_>>, cx: &Context<'_>) -> Option<Reaction>;

    fn title(&self, _view: &ListView<'_, Self::Item<'_>>, _cx: &Context<'_>) -> String {
        Self::TITLE.to_owned()
    }

    /// Handles a click; `None` leaves it to the list, which selects a row.
    fn click(&mut self, _at: Position, _view: &mut ListView<'_, Self::Item<'_>>) -> Option<Reaction> {
        None
    }

    /// Actions to list in the footer after those that select.
    fn bindings(&self, selected: Option<&Self::Item<'_>>, cx: &Context<'_>) -> Vec<KeyHint>;

    /// The columns of an item as plain values, for an export.
    fn record(_item: &Self::Item<'_>, _cx: &Context<'_>) -> Record {
        Record::new()
    }

    /// The object whose queue an item shows.
    fn object(_item: &Self::Item<'_>) -> Option<String> {
        None
    }

    /// The residents that an item shows.
    fn residents(_item: &Self::Item<'_>) -> Vec<String> {
        Vec::new()
    }

    /// The chart of an item, for an export.
    fn chart_data(&self, _item: &Self::Item<'_>, _cx: &Context<'_>) -> Option<ChartData> {
        None
    }

    /// See [`Pane::division`].
    fn division(&self) -> Option<&Division> {
        None
    }

    /// See [`Pane::table`].
    fn table(&self) -> Option<&'static Table> {
        None
    }

    /// Opens the details of the selected item, if the items are residents. Returns whether they are.
    fn open_resident(&mut self) -> bool {
        false
    }
}

#[derive(Debug, Default)]
pub(crate) struct ListPane<C> {
    list: List,
    /// The filter of the operator's last sight or key.
    filter: String,
    /// What the items that were last drawn show.
    focus: Focus,
    pub(crate) content: C,
}

impl<C: ListContent> Pane for ListPane<C> {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let items = self.content.items(cx);
        let kept = (&mut self.list, &mut self.filter);
        let view = ListView::new((&self.content, &items), kept, area, cx);
        let block = pane_block(&self.content.title(&view, cx), area.width, cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        view.list.hide();
        self.content.draw(frame, inner, view, cx);
        let drawn = || self.list.drawn().filter_map(|row| items.get(row));
        let residents = drawn().flat_map(|item| C::residents(item)).collect();
        self.focus = Focus { residents, objects: drawn().filter_map(|item| C::object(item)).collect(), area: None };
    }

    fn add_to_focus(&self, focus: &mut Focus) {
        focus.residents.extend(self.focus.residents.iter().cloned());
        focus.objects.extend(self.focus.objects.iter().cloned());
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let items = self.content.items(cx);
        let kept = (&mut self.list, &mut self.filter);
        let mut view = ListView::new((&self.content, &items), kept, Rect::ZERO, cx);
        let replaced = view.replaced;
        let reaction = self.content.act(action, &mut view, cx).unwrap_or_else(|| view.act(action));
        if !C::is_about_item(action) {
            return reaction;
        }
        if let Some(replaced) = replaced
            && matches!(reaction, Reaction::Send(_) | Reaction::Confirm(_))
        {
            // The key was meant for the row that was there.
            view.select(view.at());
            let what = replaced.words();
            return Reaction::Status(format!("the selected row {what}; press the key again for the one in its place"));
        }
        if matches!(reaction, Reaction::Confirm(_) | Reaction::ShowDetail(_)) {
            // The window stays with what it is about, also before the operator has moved the selection.
            view.select(view.at());
        }
        reaction
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        let (at, items) = (Position::new(column, row), self.content.items(cx));
        let kept = (&mut self.list, &mut self.filter);
        let mut view = ListView::new((&self.content, &items), kept, Rect::ZERO, cx);
        self.content.click(at, &mut view).unwrap_or_else(|| view.list.click(at, &view.rows))
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let items = self.content.items(cx);
        let selected = self.list.selected(&ItemRows::new::<C>(&items));
        let mut hints = vec![KeyHint::new(Action::Up, "select"), KeyHint::new(Action::Down, "select")];
        hints.extend(self.content.bindings(items.get(selected), cx));
        hints
    }

    fn select(&mut self, id: &str, _cx: &Context<'_>) {
        self.list.select(&[id.to_owned()], 0);
    }

    fn export(&self, cx: &Context<'_>) -> Export {
        let items = self.content.items(cx);
        let selected = self.list.selected(&ItemRows::new::<C>(&items));
        let rows = items.iter().map(|item| C::record(item, cx)).filter(|record| !record.is_empty()).collect();
        let chart = items.get(selected).and_then(|item| self.content.chart_data(item, cx));
        Export { rows, chart }
    }

    fn division(&self) -> Option<&Division> {
        self.content.division()
    }

    fn table(&self) -> Option<&'static Table> {
        self.content.table()
    }

    fn open(&mut self, agent: &str) {
        if self.content.open_resident() {
            self.list.select(&[agent.to_owned()], 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An area for this many rows.
    const fn rows(height: u16) -> Rect {
        Rect::new(0, 0, 9, height)
    }

    fn ids(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn follows_the_id_and_falls_back_to_its_row() {
        let mut selection = List::default();
        assert_eq!(selection.update(&ids("a b c"), rows(2)), (0, 0));
        assert_eq!(selection.act(Action::Down, &ids("a b c")), Reaction::Redraw);
        assert_eq!(selection.update(&ids("x y a b c"), rows(2)), (3, 2));
        assert_eq!(selection.id(), Some("b"));
        assert_eq!(selection.update(&ids("x y a c"), rows(2)), (3, 2));
        assert_eq!(selection.id(), Some("c"));
        assert_eq!(selection.update(&[], rows(2)), (0, 0));
        assert_eq!(selection.id(), None);
        assert_eq!(selection.act(Action::Down, &[]), Reaction::None);
    }

    #[test]
    fn notes_that_another_row_took_the_place_of_the_selected_one() {
        let mut list = List::default();
        list.update(&ids("a b c"), rows(2));
        list.update(&ids("x a b c"), rows(2));
        let is_gone = |list: &List, now: &str| list.replaced(&ids(now), |_| false) == Some(Replaced::Gone);
        assert!(!is_gone(&list, "x a b c"), "it is on screen, one row lower");
        list.update(&ids("b c"), rows(2));
        assert!(is_gone(&list, "b c"), "also before a row was selected");
        list.act(Action::Down, &ids("b c"));
        assert!(!is_gone(&list, "x b c") && is_gone(&list, "b"));
        list.update(&ids("b d"), rows(2));
        assert!(is_gone(&list, "b d"), "also after it was drawn");
        list.update(&ids("b c d"), rows(2));
        assert!(is_gone(&list, "b c d"), "the row that came back is another selection");
        list.act(Action::Up, &ids("b c d"));
        assert!(!is_gone(&list, "b c d"), "the operator has moved on");
    }

    #[test]
    fn stays_at_the_first_row_until_moved() {
        let mut list = List::default();
        assert_eq!(list.update(&ids("a b c"), rows(2)), (0, 0));
        assert_eq!((list.update(&ids("x y a b c"), rows(2)), list.id()), ((0, 0), Some("x")));
        // Actions apply to the item that was drawn as selected, even if new items precede it now.
        assert_eq!(list.selected(&ids("z x y")), 1);
        assert_eq!(list.act(Action::Down, &ids("z x y")), Reaction::Redraw);
        assert_eq!((list.update(&ids("w z x y"), rows(2)), list.id()), ((3, 2), Some("y")));
        list.act(Action::First, &ids("w z x y"));
        assert_eq!((list.update(&ids("v w z x y"), rows(2)), list.id()), ((0, 0), Some("v")));
    }

    #[test]
    fn pages_stop_at_the_ends() {
        let mut selection = List::default();
        let ids = ids("a b c d e");
        selection.update(&ids, rows(3));
        selection.act(Action::PageDown, &ids);
        assert_eq!(selection.update(&ids, rows(3)), (3, 1));
        selection.act(Action::Last, &ids);
        assert_eq!(selection.update(&ids, rows(3)), (4, 2));
        selection.act(Action::First, &ids);
        assert_eq!(selection.update(&ids, rows(3)), (0, 0));
    }
}
