from matplotlib.figure import Figure

from mmbmtas.visualization.saving import save_figure


def test_text_in_pdf_is_truetype(tmp_path):
    figure = Figure()
    figure.subplots().set_title('Δm of the tree')
    save_figure(figure, tmp_path / 'a.pdf')
    content = (tmp_path / 'a.pdf').read_bytes()
    assert b'/Type3' not in content
    assert b'/FontFile2' in content  # an embedded TrueType font
