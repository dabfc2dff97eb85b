() => {
  const radios = new Set();
  return [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex]"
  )].filter(e => e.tabIndex >= 0 && !e.disabled && e.type !== "hidden")
    .filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.closest("[inert]"))
    .filter(e => {
      if (e.type !== "radio") return true;
      const group = document.querySelectorAll(`input[type=radio][name="${CSS.escape(e.name)}"]`);
      const chosen = [...group].find(one => one.checked);
      if (chosen) return e === chosen;
      if (radios.has(e.name)) return false;
      radios.add(e.name);
      return true;
    });
}
