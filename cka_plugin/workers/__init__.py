"""Workers: examples are read, and prepared for all models, by several threads or processes, ahead of the models.

Whatever their number, the same bits come in the same order. Threads do what is this package's own code and that of
libraries that release the interpreter lock (Pillow, torch); a user's Python code runs in processes, or where it was.
"""

from cka_plugin.workers.count import cores, how_many
from cka_plugin.workers.obstacles import obstacle
from cka_plugin.workers.pool import Pool
from cka_plugin.workers.processes import Processes, no_processes
from cka_plugin.workers.threads import Threads
from cka_plugin.workers.work import Work

__all__ = ["Pool", "Processes", "Threads", "Work", "cores", "how_many", "no_processes", "obstacle"]
