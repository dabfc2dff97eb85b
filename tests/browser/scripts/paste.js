(text) => {
    const box = document.getElementById("gb-doctor-text");
    document.getElementById("gb-doctor-said").textContent = "";
    box.value = text;
    box.dispatchEvent(new Event("input"));
}
