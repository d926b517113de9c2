def dom0(cfg,n): return {}
def domu(cfg,n): return {}
