// Rows that a narrow screen shows as blocks stay rows for those who hear them.
const roles = { table: "table", "thead, tbody": "rowgroup", tr: "row", th: "columnheader", td: "cell" };
for (const [parts, role] of Object.entries(roles)) {
  for (const part of document.querySelectorAll(`.wide :is(${parts})`)) part.setAttribute("role", role);
}
// Sort the table of claims by a column; once more turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.v;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const numbers = !isNaN(x) && !isNaN(y);
        const found = numbers ? Number(x) - Number(y) : x.localeCompare(y);
        return up ? found : -found;
      };
      [...body.rows].sort(order).forEach((row) => body.append(row));
    });
  });
}
// One button opens all cards, or closes them; what is open is what is printed.
for (const button of document.querySelectorAll("button.all")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = button.textContent === "open all";
    document.querySelectorAll("details.study").forEach((card) => { card.open = open; });
    button.textContent = open ? "close all" : "open all";
  });
}
// A link to a study opens its card.
const open = () => {
  const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (card) {
    for (let part = card; part; part = part.parentElement) {
      if (part.tagName === "DETAILS") part.open = true;
    }
    card.scrollIntoView();
  }
};
addEventListener("hashchange", open);
open();
