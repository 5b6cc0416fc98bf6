
const body = document.querySelector('tbody'), rows = [...body.rows], heads = [...document.querySelectorAll('thead th')]
const words = document.getElementById('words'), over = document.getElementById('over'), count = document.getElementById('count')
const choices = [...document.querySelectorAll('select')], texts = rows.map(row => row.textContent.toLowerCase())
const key = (row, at) => row.cells[at].dataset.sort ?? row.cells[at].textContent
const num = n => n.toLocaleString('en') + (n === 1 ? ' flag' : ' flags')
function look() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean)
  let shown = 0
  rows.forEach((row, i) => {
    const fits = wanted.every(word => texts[i].includes(word)) && (!over.checked || row.dataset.over === 'yes') &&
      choices.every(one => !one.value || row.cells[one.dataset.column].textContent === one.selectedOptions[0].textContent)
    row.hidden = !fits
    shown += fits
  })
  count.textContent = shown === rows.length ? num(shown) : shown.toLocaleString('en') + ' of ' + num(rows.length)
}
heads.forEach((head, at) => head.querySelector('button').addEventListener('click', () => {
  const down = head.getAttribute('aria-sort') === 'ascending'
  heads.forEach(other => other.removeAttribute('aria-sort'))
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending')
  const numbers = head.dataset.numbers === 'yes'
  const compare = (a, b) => {
    const x = key(a, at), y = key(b, at)
    if (x === '' || y === '') return (x === '') - (y === '')
    return (down ? -1 : 1) * (numbers ? x - y : x < y ? -1 : x > y ? 1 : 0)
  }
  body.append(...rows.slice().sort(compare))
}))
for (const one of [words, over, ...choices]) one.addEventListener('input', look)
document.querySelector('form').addEventListener('submit', event => event.preventDefault())
look()
