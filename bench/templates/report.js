// Sorts a table by the column whose heading is pressed; opens everything before printing.
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  const heads = table.querySelectorAll("th[data-column]");
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text.replace("inf", "Infinity"));
    return { empty: text === "", number: text !== "" && !Number.isNaN(number) ? number : null, text };
  };
  heads.forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) button.append(head.firstChild);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const column = Number(head.dataset.column);
      const compare = (one, two) => {
        const a = key(one, column);
        const b = key(two, column);
        if (a.empty !== b.empty) return a.empty ? 1 : -1;
        const order =
          a.number !== null && b.number !== null
            ? a.number - b.number || 0
            : a.text.localeCompare(b.text);
        return up ? order : -order;
      };
      [...body.rows].sort(compare).forEach((row) => body.append(row));
    });
  });
});
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => (details.open = true));
});
