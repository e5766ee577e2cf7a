/** Applies the colours that the visitor chose, before anything is painted. */
{
  const chosen = localStorage.getItem('theme');
  if (chosen !== null) document.documentElement.dataset['theme'] = chosen;
}
