"""The editor: any picture in, the same size out, and nothing moves where the mask is zero."""
from retouch.editor.canvas import frame_of
from retouch.editor.edit import RE_ENCODED, Edit, output_paths
from retouch.editor.editor import Editor

__all__ = ['RE_ENCODED', 'Edit', 'Editor', 'frame_of', 'output_paths']
